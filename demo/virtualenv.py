"""The virtual environment that the Makefile runs everything in, installed from pinned requirements.

Usage: ``virtualenv.py FOLDER REQUIREMENTS [LARGER_REQUIREMENTS ...]``. The first requirements file is
installed unless it, or one of the larger ones that include it, is installed already.

Standard library only: it runs before anything is installed.
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
    fingerprints = [fingerprint(file) for file in files]
    stamp = folder / STAMP
    installed = stamp.read_text().split() if stamp.exists() else []
    if not (installed and is_usable(folder)):
        installed = []
    if not set(fingerprints).isdisjoint(installed):
        return
    if not installed:
        create(folder)
    install(folder, files[0])
    stamp.write_text("\n".join([*installed, fingerprints[0]]) + "\n")


def fingerprint(file: Path) -> str:
    """Hash the file's contents and this Python, because a change of either means installing again."""
    return hashlib.sha256(sys.version.encode() + sys.prefix.encode() + file.read_bytes()).hexdigest()


def is_usable(folder: Path) -> bool:
    """Whether the environment's Python still runs. It does not after an upgrade of the system's Python."""
    python = folder / "bin" / "python"
    return python.exists() and subprocess.run([python, "-c", ""], check=False).returncode == 0


def create(folder: Path) -> None:
    try:
        import ensurepip  # noqa: F401  # Debian ships both modules separately, as python3-venv
        import venv
    except ImportError:
        sys.exit(
            f"{sys.executable} cannot create virtual environments. Install its venv module "
            "(Debian and Ubuntu: apt install python3-venv), or set PYTHON= to another Python."
        )
    print(f"Creating the virtual environment {folder} (first run only) ...", flush=True)
    if folder.exists():
        shutil.rmtree(folder)
    try:
        venv.create(folder, with_pip=True, symlinks=os.name != "nt")
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"The virtual environment {folder} could not be created: {error}")


def install(folder: Path, file: Path) -> None:
    print(f"Installing {file} ...", flush=True)
    command: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--require-hashes", "--requirement", file]
    if subprocess.run(command, check=False).returncode:
        sys.exit(f"The packages in {file} could not be installed. See pip's output above.")


if __name__ == "__main__":
    main(sys.argv[1:])
