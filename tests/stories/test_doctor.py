"""``manage.py sso_doctor`` at the real portal and at both sites."""

from __future__ import annotations

import json

import pytest

from tests.stories.topology import StoryTopology


def findings(topology: StoryTopology, project: str) -> dict[str, dict[str, str]]:
    """Run the doctor and return {check: its finding}."""
    report = json.loads(topology.command(project, "sso_doctor", "--json").stdout)
    return {finding["check"]: finding for finding in report["findings"]}


@pytest.mark.parametrize("project", ["portal", "site_a", "site_b"])
def test_a_fresh_installation_is_ok(topology: StoryTopology, project: str) -> None:
    found = findings(topology, project)

    assert [finding for finding in found.values() if finding["level"] != "ok"] == []
    assert "redis.reachable" in found
    assert ("portal.secret" in found) == (project != "portal")


def test_a_portal_that_is_down_is_the_only_failure(topology: StoryTopology) -> None:
    topology.parts["portal"].stop()

    found = findings(topology, "site_a")

    assert [check for check, finding in found.items() if finding["level"] == "failure"] == [
        "portal.reachable"
    ]
    assert found["portal.clock"]["message"].startswith("Not examined")


def test_a_secret_that_was_rotated_away_is_a_failure(topology: StoryTopology) -> None:
    topology.manage("portal", "sso_site", "add", "site_doctor", "http://doctor.sso.localhost:1")
    old = topology.manage("portal", "sso_site", "dsn", "site_doctor").strip()
    topology.dsns["site_b"], kept = old, topology.dsns["site_b"]
    try:
        before = findings(topology, "site_b")
        topology.manage("portal", "sso_site", "rotate", "site_doctor")
        during = findings(topology, "site_b")
        topology.manage("portal", "sso_site", "rotate", "site_doctor", "--finish")
        after = findings(topology, "site_b")
    finally:
        topology.dsns["site_b"] = kept
        topology.manage("portal", "sso_site", "remove", "site_doctor")

    assert before["portal.secret"]["level"] == during["portal.secret"]["level"] == "ok"
    assert after["portal.secret"]["level"] == "failure"
    assert "sso_site dsn site_doctor" in after["portal.secret"]["fix"]
    assert after["redis.reachable"]["level"] == "failure"
