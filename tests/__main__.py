"""Run every room of the tests in a process of its own, and add up the results: ``make test``.

A process can have only one Django settings module, and the portal and the sites are tested with their own
settings. Arguments are passed to pytest; paths among them choose the rooms. The exit status is 0 only if
tests ran and all of them passed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
#: pytest's status where an option like -k leaves no test in a room.
NO_TESTS = 5


@dataclass
class Result:
    """What became of one room, or of all of them."""

    is_failure: bool = False
    passed: int = 0
    failed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, other: Result) -> None:
        self.is_failure |= other.is_failure
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped


def rooms() -> dict[str, list[str]]:
    """Return room -> pytest's arguments. A folder with a ``settings.py`` is a room."""
    own = sorted(file.parent.name for file in HERE.glob("*/settings.py"))
    plain = [f"--ignore=tests/{name}" for name in [*own, "stories", "products"]]
    # The longest first.
    return {
        "stories": ["tests/stories"],
        "sso_common": ["tests", *plain],
        "products": ["tests/products"],
        **{name: [f"tests/{name}", f"--ds=tests.{name}.settings"] for name in own},
    }


def chosen(paths: list[str]) -> dict[str, list[str]]:
    """Return the rooms of these paths; all rooms without any path."""
    if not paths:
        return rooms()
    found: dict[str, list[str]] = {}
    for path in paths:
        room = next((name for name in rooms() if path.startswith(f"tests/{name}")), "sso_common")
        found.setdefault(room, rooms()[room][1:]).insert(0, path)
    return {name: found[name] for name in rooms() if name in found}


def run(name: str, arguments: list[str], *, is_alone: bool) -> Result:
    """Run one room. The output of rooms that run concurrently is printed when each of them ends."""
    print(f"== {name}", flush=True)
    pytest = [sys.executable, "-m", "pytest", "-o", "junit_suite_name=tests"]
    captured = None if is_alone else subprocess.PIPE
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        done = subprocess.run(
            [*pytest, f"--junit-xml={report}", *arguments],
            cwd=HERE.parent,
            check=False,
            stdout=captured,
            stderr=subprocess.STDOUT if captured else None,
            text=True,
        )
        if done.stdout:
            print(f"== output of {name}\n{done.stdout}", end="", flush=True)
        result = read_report(report) if report.exists() else Result()
    result.is_failure = done.returncode not in {0, NO_TESTS}
    result.seconds = time.monotonic() - began
    return result


def read_report(report: Path) -> Result:
    """Count the results in a JUnit report."""
    result = Result()
    for case in ET.parse(report).getroot().iter("testcase"):
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            result.failed += 1
        elif skipped is not None:
            result.skipped[skipped.get("message", "")] += 1
        else:
            result.passed += 1
    return result


def main(arguments: list[str]) -> int:
    """Run two rooms at a time, because they wait more than they work, and report each of them."""
    paths = [argument for argument in arguments if argument.startswith("tests")]
    options = [argument for argument in arguments if not argument.startswith("tests")]
    todo = chosen(paths)
    with ThreadPoolExecutor(max_workers=2) as pool:
        running = {
            name: pool.submit(run, name, [*own, *options], is_alone=len(todo) == 1)
            for name, own in todo.items()
        }
    total = Result()
    for name, future in running.items():
        result = future.result()
        total.add(result)
        word = "FAILED" if result.is_failure else "ok"
        print(f"{name:12} {word:8} {result.passed:5} passed in {result.seconds:.0f} s")
    print(f"{total.passed} passed, {total.failed} failed, {total.skipped.total()} skipped")
    for reason, count in total.skipped.items():
        if "is not installed" in reason:
            print(f"NOT TESTED: {count} tests were skipped because {reason}.")
    return int(total.is_failure or not total.passed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
