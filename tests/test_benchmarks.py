"""``make bench`` runs every comparison, and both projects serve the page that is compared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.story
def test_quick_run_makes_every_comparison() -> None:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("SSO_", "DJANGO_"))
    }

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--json"],
        cwd=ROOT,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert {
        "page, WSGI",
        "page, ASGI",
        "load, signed in, 3 keys",
        "save, signed in, 20 keys",
        "async load, 1,000 at once",
    } <= set(report["ratios"])
    assert all(ratio["median"] > 0 for ratio in report["ratios"].values())
    assert report["round_trips"]["ours"] == {"redis": 1, "sql": 1}
