"""`make test`: runs every room of the tests in a process of its own, and adds up.

A process has one Django settings module: the portal and the sites are tested as they are, each with
its own. In: arguments for pytest; paths among them choose the rooms. Out: pytest's own words, one
line for the whole, and status 0 only if tests ran and all of them passed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
NO_TESTS = 5  # pytest's status when a choice like -k leaves nothing in a room


def rooms() -> dict[str, list[str]]:
    """Room -> how pytest is started for it. A folder with settings of its own is a room."""
    own = sorted(file.parent.name for file in HERE.glob("*/settings.py"))
    plain = [f"--ignore=tests/{name}" for name in [*own, "stories"]]
    return {
        "sso_common": ["tests", *plain],
        **{name: [f"tests/{name}", f"--ds=tests.{name}.settings"] for name in own},
        "stories": ["tests/stories"],
    }


def chosen(arguments: list[str]) -> dict[str, list[str]]:
    """The rooms to run: all, or those of the paths among the arguments."""
    paths = [argument for argument in arguments if argument.startswith("tests")]
    if not paths:
        return rooms()
    found = {}
    for name, (_, *options) in rooms().items():
        others = [other for other in rooms() if other != name]
        inside = [path for path in paths if path.startswith(f"tests/{name}")]
        if name == "sso_common":
            inside = [
                path for path in paths if not path.startswith(tuple(f"tests/{other}" for other in others))
            ]
        if inside:
            found[name] = [*inside, *options]
    return found


def run(name: str, command: list[str], arguments: list[str], *, alone: bool) -> tuple[int, Counter[str]]:
    """Run one room; return pytest's status and its counts. Beside another room it prints at the end."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        began = time.monotonic()
        print(f"== {name}", flush=True)
        pytest = [sys.executable, "-m", "pytest", f"--junit-xml={report}", "-o", "junit_suite_name=tests"]
        done = subprocess.run(
            [*pytest, *command, *arguments],
            cwd=HERE.parent,
            check=False,
            stdout=None if alone else subprocess.PIPE,
            stderr=None if alone else subprocess.STDOUT,
            text=True,
        )
        status = done.returncode
        if done.stdout:
            print(f"== what {name} said\n{done.stdout}", end="", flush=True)
        counts: Counter[str] = Counter(seconds=round(time.monotonic() - began))
        for suite in ET.parse(report).getroot().iter("testsuite") if report.exists() else ():
            bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            skipped = int(suite.get("skipped", 0))
            counts += Counter(failed=bad, skipped=skipped, passed=int(suite.get("tests", 0)) - bad - skipped)
    return (0 if status == NO_TESTS else status), counts


def main(arguments: list[str]) -> int:
    """Run the rooms, two at a time: they wait more than they work. None hides a failure in another."""
    options = [argument for argument in arguments if not argument.startswith("tests")]
    todo = chosen(arguments)
    # The longest first.
    order = sorted(todo, key=lambda name: (name != "stories", name != "sso_common"))
    with ThreadPoolExecutor(max_workers=2) as pool:
        running = {name: pool.submit(run, name, todo[name], options, alone=len(order) == 1) for name in order}
    results = {name: future.result() for name, future in running.items()}
    total: Counter[str] = Counter()
    for name, (status, counts) in results.items():
        total += counts
        word = f"status {status}" if status else "ok"
        print(f"{name:12} {word:10} {counts['passed']:5} passed in {counts['seconds']} s")
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    return int(any(status for status, _ in results.values()) or not total["passed"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
