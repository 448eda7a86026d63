"""``make manage ARGS="…"``: runs a command of the portal's ``manage.py`` beside a running demo.

Takes the demo's own options, then ``--``, then the command. Exits with the command's status.
"""

from __future__ import annotations

import subprocess
import sys

from . import credentials, projects
from .folder import DataFolder
from .options import Refused, parse


def main(arguments: list[str]) -> int:
    split = arguments.index("--") if "--" in arguments else len(arguments)
    command = arguments[split + 1 :] or ["help"]
    try:
        options = parse(arguments[:split])
    except Refused as error:
        print(error, file=sys.stderr)
        return 1
    folder = DataFolder(options.data_dir)
    if not folder.credentials.exists():
        print(
            f"No demo has been started in {folder.path}. Run `make demo` first. If it was started with PORT= "
            "or other options, pass the same options to this command.",
            file=sys.stderr,
        )
        return 1
    environment = projects.environment("portal", options, folder, credentials.read(folder.credentials))
    return subprocess.run(projects.manage("portal", *command), env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
