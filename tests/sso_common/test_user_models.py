"""``sso_common`` fits a site's own user model: keys, names and addresses of other kinds."""

from __future__ import annotations

import os
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
def test_two_people_live_at_a_site_with_its_own_user_model(model: str, mapper: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.user_models.project",
        "TEST_USER_MODEL": model,
        "TEST_USER_MAPPER": mapper,
        "TEST_DATABASE": str(tmp_path / "site.sqlite3"),
    }

    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.user_models.life"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.stdout.strip().endswith("well"), done.stderr[-3000:]


def test_a_model_that_no_user_of_the_portal_fits_into_is_named_before_anybody_signs_in(
    tmp_path: Path,
) -> None:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.user_models.project",
        "TEST_USER_MODEL": "user_models.Pupil",
        "TEST_USER_MAPPER": STOCK,
        "TEST_DATABASE": str(tmp_path / "site.sqlite3"),
    }

    done = subprocess.run(
        [sys.executable, "-m", "django", "check"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 1
    assert "(sso.E026) user_models.Pupil.born must have a value" in done.stderr
    assert "SSO_USER_MAPPER" in done.stderr
