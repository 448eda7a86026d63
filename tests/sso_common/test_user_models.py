"""``sso_common`` works with user models that have other keys, names and addresses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STOCK = "sso_common.users.UserMapper"


@pytest.mark.parametrize(
    ("model", "mapper"),
    [
        ("auth.User", STOCK),
        ("user_models.Member", STOCK),
        ("user_models.Player", STOCK),
        ("user_models.Employee", STOCK),
        ("user_models.Guest", STOCK),
        ("user_models.Author", "tests.user_models.mappers.SubjectIsKey"),
    ],
)
def test_users_are_synced_and_signed_in_with_any_user_model(model: str, mapper: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.user_models.project",
        "TEST_USER_MODEL": model,
        "TEST_USER_MAPPER": mapper,
        "TEST_DATABASE": str(tmp_path / "site.sqlite3"),
    }

    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.user_models.sync_two_users"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.stdout.strip().endswith("ok"), done.stderr[-3000:]


def check(model: str, mapper: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the system checks of a site with a user model."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.user_models.project",
        "TEST_USER_MODEL": model,
        "TEST_USER_MAPPER": mapper,
        "TEST_DATABASE": str(folder / "site.sqlite3"),
    }
    return subprocess.run(
        [sys.executable, "-m", "django", "check"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_check_names_a_model_that_cannot_store_portal_users(tmp_path: Path) -> None:
    done = check("user_models.Pupil", STOCK, tmp_path)

    assert done.returncode == 1
    assert "(sso.E026) user_models.Pupil.born must have a value" in done.stderr
    assert "SSO_USER_MAPPER" in done.stderr


def test_check_names_a_required_text_that_would_stay_empty(tmp_path: Path) -> None:
    done = check("user_models.Speaker", STOCK, tmp_path)

    assert re.findall(r"sso\.[EW]\d+\) user_models.Speaker\.\w+", done.stderr) == [
        "sso.W020) user_models.Speaker.name"
    ]
    assert '"name": snapshot.display_name' in done.stderr


def test_mapper_that_sets_the_text_passes_the_check(tmp_path: Path) -> None:
    done = check("user_models.Speaker", "tests.user_models.mappers.DisplayName", tmp_path)

    assert "sso." not in done.stderr
