"""``make test`` runs the rooms of the paths it is given, and counts what pytest reports."""

from __future__ import annotations

from pathlib import Path

from tests.__main__ import chosen, read_report, rooms

REPORT = """
<testsuites><testsuite>
  <testcase name="a" /><testcase name="b"><failure message="x" /></testcase>
  <testcase name="c"><error message="x" /></testcase>
  <testcase name="d"><skipped message="nginx is not installed" /></testcase>
</testsuite></testsuites>
"""


def test_each_path_runs_in_its_room_with_the_settings_of_that_room() -> None:
    paths = ["tests/portal/test_mail.py", "tests/test_main.py", "tests/portal/test_audit.py"]

    found = chosen(paths)

    assert list(found) == ["sso_common", "portal"]
    assert found["portal"] == [paths[2], paths[0], "--ds=tests.portal.settings"]
    assert paths[1] in found["sso_common"]


def test_without_a_path_every_room_runs() -> None:
    names = ["stories", "sso_common", "products", "mariadb", "portal", "site_a", "site_b"]

    assert list(chosen([])) == list(rooms()) == names


def test_the_report_is_counted(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)

    result = read_report(report)

    assert (result.passed, result.failed) == (1, 2)
    assert result.skipped == {"nginx is not installed": 1}
