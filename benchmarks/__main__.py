"""``python -m benchmarks``: run all comparisons and print a table or JSON.

Progress goes to standard error.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from typing import Any

from . import projects, stores
from .pairs import Effort, Ratio
from .world import World, world

#: (unit, factor from seconds or pages to the unit, aim)
PAGE = ("pages/s", 1.0, "at least 1.0")
LOAD = ("us", 1e6, "at most 1.15")
SAVE = ("us", 1e6, "at most 1.0")
#: First word of a comparison's name -> what it measures.
AIMS = {"page": PAGE, "load": LOAD, "save": SAVE, "async": LOAD}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--quick", action="store_true", help="run only a few turns, to test the benchmarks")
    options = parser.parse_args()
    # The time limits keep the whole run under three minutes on any machine.
    pages, calls = (Effort(4, 1), Effort(10, 1)) if options.quick else (Effort(300, 40), Effort(500, 7))
    rows: dict[str, Ratio] = {}
    with world() as made:
        for interface in projects.INTERFACES:
            say(name := f"page, {interface}")
            rows[name] = projects.measure(made, interface, pages)
        say("load and save")
        rows.update(stores.measure(made, calls))
        counts = {project: count_round_trips(made, project) for project in projects.PROJECTS}
        environment = describe_environment(made)
    if options.json:
        ratios = {name: dataclasses.asdict(ratio) for name, ratio in rows.items()}
        print(json.dumps({"environment": environment, "ratios": ratios, "round_trips": counts}, indent=2))
    else:
        print_table(environment, rows, counts)


def print_table(
    environment: dict[str, Any], rows: dict[str, Ratio], counts: dict[str, dict[str, int]]
) -> None:
    print(", ".join(f"{name} {value}" for name, value in environment.items()), end="\n\n")
    print(f"{'':32} {'ours':>8} {'stock':>8} {'':7} {'ratio':>6}  {'95 %':13}  {'quartiles':13}  aim")
    for name, ratio in rows.items():
        unit, factor, aim = AIMS[name.split(maxsplit=1)[0].rstrip(",")]
        print(
            f"{name:32} {ratio.ours * factor:8.1f} {ratio.stock * factor:8.1f} {unit:7} {ratio.median:6.3f}  "
            f"{ratio.low:5.3f} - {ratio.high:5.3f}  "
            f"{ratio.first_quartile:5.3f} - {ratio.third_quartile:5.3f}  {aim}"
        )
    print()
    for project, count in counts.items():
        print(
            f"round trips of one page, {project:5}: {count['redis']} to Redis, {count['sql']} to the database"
        )


def count_round_trips(made: World, project: str) -> dict[str, int]:
    path, *_ = projects.INTERFACES["WSGI"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.counts", path, made.cookie(project)],
        env=made.environment_of(project),
        check=True,
        stdout=subprocess.PIPE,
    )
    return dict(json.loads(done.stdout))


def describe_environment(made: World) -> dict[str, Any]:
    return {
        "Python": platform.python_version(),
        **{name: version(name) for name in ("django", "django-redis", "redis", "granian")},
        "hiredis": version("hiredis") if importlib.util.find_spec("hiredis") else "none",
        "server": made.server,
        "cores": os.cpu_count(),
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def say(text: str) -> None:
    print(f"measuring {text} ...", file=sys.stderr)


if __name__ == "__main__":
    main()
