"""``make manage ARGS="…"``: runs a command of the portal's ``manage.py`` beside a running demo.

In: the demo's own options, then ``--``, then the command. Out: the command's words and status.
"""

from __future__ import annotations

import subprocess
import sys

from .options import ROOT, Refused, parse
from .topology import Topology


def main(arguments: list[str]) -> int:
    split = arguments.index("--") if "--" in arguments else len(arguments)
    command = arguments[split + 1 :] or ["help"]
    try:
        environment = Topology(parse(arguments[:split])).kept_environment("portal")
    except Refused as error:
        print(error, file=sys.stderr)
        return 1
    portal = [sys.executable, str(ROOT / "portal" / "manage.py"), *command]
    return subprocess.run(portal, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
