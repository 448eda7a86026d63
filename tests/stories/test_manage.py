"""``make manage`` runs a command of the portal beside a running demo, as the README shows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from demo.options import ROOT
from sso_common.dsn import parse_dsn
from tests.stories.topology import StoryTopology
from tests.timing import WAIT


def manage(folder: Path, options: list[str], *command: str) -> subprocess.CompletedProcess[str]:
    options = ["--data-dir", str(folder), *options]
    return subprocess.run(
        [sys.executable, "-m", "demo.manage", *options, "--", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=False,
    )


def test_a_newcomer_adds_a_site_to_the_running_demo(topology: StoryTopology) -> None:
    options = [f"--portal-port={topology.options.portal_port}", f"--namespace={topology.options.namespace}"]
    try:
        added = manage(
            topology.folder, options, "sso_site", "add", "newcomer", "http://newcomer.sso.localhost:1"
        )
        listed = manage(topology.folder, options, "sso_site", "list")
    finally:
        manage(topology.folder, options, "sso_site", "remove", "newcomer")

    assert added.returncode == 0, added.stderr
    assert parse_dsn(added.stdout.strip()).site == "newcomer"
    assert "http://newcomer.sso.localhost:1" in listed.stdout


def test_without_a_running_demo_one_sentence_says_so(tmp_path: Path) -> None:
    done = manage(tmp_path, [], "sso_site", "list")

    assert done.returncode == 1
    assert f"No demo has been started in {tmp_path}. Run `make demo` first." in done.stderr
