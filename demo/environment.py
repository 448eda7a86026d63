"""Makes the virtual environment that the Makefile runs everything in, from pinned requirements.

In: the folder, and one or more requirement files; the first is what is wanted, any further one is
a superset that will do if it is installed already. Out: a folder in which it is installed, or one
sentence that says why not. Called by the Makefile before anything else is there: standard library only.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

STAMP = "installed-requirements"


def main(arguments: list[str]) -> None:
    folder, *files = (Path(argument) for argument in arguments)
    fingerprints = [_fingerprint(file) for file in files]
    stamp = folder / STAMP
    installed = stamp.read_text().split() if stamp.exists() else []
    if any(fingerprint in installed for fingerprint in fingerprints) and _is_usable(folder):
        return
    if not (installed and _is_usable(folder)):
        _create(folder)
        installed = []
    _install(folder, files[0])
    stamp.write_text("\n".join([*installed, fingerprints[0]]) + "\n")


def _fingerprint(file: Path) -> str:
    """Names the file's contents and this Python: either one changing means installing again."""
    return hashlib.sha256(sys.version.encode() + sys.prefix.encode() + file.read_bytes()).hexdigest()


def _is_usable(folder: Path) -> bool:
    """Asks the environment's own Python, which is gone when the system's has been upgraded."""
    python = folder / "bin" / "python"
    return python.exists() and subprocess.run([python, "-c", ""], check=False).returncode == 0


def _create(folder: Path) -> None:
    try:
        import ensurepip  # noqa: F401  # Debian splits both of these off into python3-venv
        import venv
    except ImportError:
        sys.exit(
            f"{sys.executable} cannot make virtual environments: install its venv module "
            "(Debian and Ubuntu: apt install python3-venv), or name another Python with PYTHON=."
        )
    print(f"Making the environment in {folder} (once) ...", flush=True)
    if folder.exists():
        shutil.rmtree(folder)
    try:
        venv.create(folder, with_pip=True, symlinks=os.name != "nt")
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"The environment in {folder} could not be made: {error}")


def _install(folder: Path, file: Path) -> None:
    print(f"Installing {file} ...", flush=True)
    command: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--require-hashes", "--requirement", file]
    if subprocess.run(command, check=False).returncode:
        sys.exit(f"The packages in {file} could not be installed; pip's own words are above.")


if __name__ == "__main__":
    main(sys.argv[1:])
