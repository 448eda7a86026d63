"""`make demo`: starts everything, says that it is ready, waits, and stops everything.

In: the command line and signals. Out: a screen for a person with one line for programs ("READY
portal=..."), and a status: 0 when it was asked to stop, 1 when it could not start or a part died.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from types import FrameType

from .options import Options, Refused, parse
from .topology import Topology

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Asked(BaseException):
    """Somebody asked to stop. Not an ``Exception``: nothing on the way may swallow it."""


def main() -> int:
    for number in SIGNALS:
        signal.signal(number, _ask)
    try:
        return _run(parse(sys.argv[1:]))
    except Asked:
        return 0
    except Refused as error:
        _say(str(error), error=True)
        return 1


def _run(options: Options) -> int:
    began = time.monotonic()
    topology = Topology(options, _say)
    status = 1
    try:
        _say("Starting the demo ...")
        topology.start()
        _say(_screen(topology, time.monotonic() - began))
        while not topology.dead():
            time.sleep(0.2)
        for part in topology.dead():
            _say(topology.obituary(part), error=True)
    except Asked:
        status = 0
    finally:
        for number in SIGNALS:  # stopping takes a few seconds at most: a second Ctrl-C must not break it off
            signal.signal(number, signal.SIG_IGN)
        if topology.parts:
            _say("\nStopping ...")
        topology.stop()
        if topology.parts:
            _say(f"Stopped. The data is kept in {topology.folder}.")
    return status


def _screen(topology: Topology, seconds: float) -> str:
    urls = topology.options.urls
    people = "\n".join(f"    {line}" for line in topology.people.strip().splitlines())
    return f"""
  One sign-in for every subdomain: ready after {seconds:.0f} s.

    portal          {urls["portal"]}
    site A, Notes   {urls["site_a"]}
    site B, Shop    {urls["site_b"]}

  People
{people}

  What to try
    1. Put something into the cart of site B, before you sign in.
    2. Open the private notes of site A: the portal asks who you are, and you land on the notes.
    3. Open site B: you are signed in there, without a detour, and the cart is yours.
    4. Change your name at the portal, and see it at both sites.
    5. Sign out at site B: the next click at site A or at the portal finds you signed out.
    6. Add a site of your own: README.md, "Add a site to the demo".

  Use Chromium or Chrome: Safari takes no Secure cookies without TLS.

  Data and logs: {topology.folder}
  Ctrl-C stops all of it.

READY portal={urls["portal"]} site_a={urls["site_a"]} site_b={urls["site_b"]}"""


def _say(line: str, *, error: bool = False) -> None:
    # The terminal may be gone already (SIGHUP); the parts must be stopped all the same.
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr if error else sys.stdout, flush=True)


def _ask(_number: int, _frame: FrameType | None) -> None:
    raise Asked


if __name__ == "__main__":
    sys.exit(main())
