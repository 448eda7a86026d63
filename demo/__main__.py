"""``make demo``: starts everything, prints where it is, waits for Ctrl-C, and stops everything.

Prints text for the user and one line for programs ("READY portal=..."). The exit status is 0 after a
request to stop, and 1 if the demo could not start or a part ended.
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


class StopRequested(BaseException):
    """A signal asked the demo to stop. Not an ``Exception``, so that no handler on the way swallows it."""


def main() -> int:
    for number in SIGNALS:
        signal.signal(number, request_stop)
    try:
        return run(parse(sys.argv[1:]))
    except StopRequested:
        return 0
    except Refused as error:
        say(str(error), error=True)
        return 1


def request_stop(_number: int, _frame: FrameType | None) -> None:
    raise StopRequested


def run(options: Options) -> int:
    began = time.monotonic()
    topology = Topology(options, say)
    status = 1
    try:
        say("Starting the demo ...")
        topology.start()
        say(screen(topology, time.monotonic() - began))
        while not topology.dead():
            time.sleep(0.2)
        for part in topology.dead():
            say(part.report(), error=True)
    except StopRequested:
        status = 0
    finally:
        for number in SIGNALS:  # a second Ctrl-C must not interrupt the stop, which takes a few seconds
            signal.signal(number, signal.SIG_IGN)
        if topology.parts:
            say("\nStopping ...")
        topology.stop()
        if topology.parts:
            say(f"Stopped. The data is kept in {topology.folder}.")
    return status


def screen(topology: Topology, seconds: float) -> str:
    urls = topology.options.urls
    accounts = "\n".join(f"    {line}" for line in topology.people.strip().splitlines())
    return f"""
  The demo is ready after {seconds:.0f} s.

    Portal           {urls["portal"]}
    Site A (Notes)   {urls["site_a"]}
    Site B (Shop)    {urls["site_b"]}

  Accounts
{accounts}

  What to try
    1. Add something to your cart on site B before you sign in.
    2. Open "My notes" on site A. You sign in at the portal and come back to your notes.
    3. Open site B. You are signed in already, and your cart is still there.
    4. Change your name at the portal. Both sites show the new name.
    5. Sign out on site B. Your next click on site A or at the portal shows that you are signed out.
    6. Add a site of your own: see "Add a site to the demo" in README.md.

  Use Chrome or Chromium. Safari does not accept Secure cookies without TLS.

  Data and logs: {topology.folder}
  Press Ctrl-C to stop the demo.

READY portal={urls["portal"]} site_a={urls["site_a"]} site_b={urls["site_b"]}"""


def say(line: str, *, error: bool = False) -> None:
    # After SIGHUP the terminal may be gone, and the parts must still be stopped.
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr if error else sys.stdout, flush=True)


if __name__ == "__main__":
    sys.exit(main())
