"""``sso_common`` works with user models that have other keys, names and addresses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import created_database

ROOT = Path(__file__).parents[2]
STOCK = "sso_common.users.UserMapper"


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'site.sqlite3'}"
        return
    server = request.getfixturevalue("mariadb_url")
    with created_database(server) as settings:
        yield f"{server.rpartition('/')[0]}/{settings['NAME']}"


@pytest.mark.parametrize(
    ("model", "mapper"),
    [
        ("auth.User", STOCK),
        ("user_models.Member", STOCK),
        ("user_models.Player", STOCK),
        ("user_models.Employee", STOCK),
        ("user_models.Guest", STOCK),
        ("user_models.Author", "tests.user_models.mappers.SubjectIsKey"),
        ("user_models.Organizer", "tests.user_models.mappers.AdministratorMapper"),
        ("user_models.Speaker", STOCK),
    ],
)
def test_users_are_synced_and_signed_in_with_any_user_model(model: str, mapper: str, database: str) -> None:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.user_models.project",
        "TEST_USER_MODEL": model,
        "TEST_USER_MAPPER": mapper,
        "TEST_DATABASE": database,
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


def messages_for(model: str, folder: Path, mapper: str = STOCK) -> str:
    """The messages of ``manage.py check`` for a user model; its exit status is that of an error."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.user_models.project",
        "TEST_USER_MODEL": model,
        "TEST_USER_MAPPER": mapper,
        "TEST_DATABASE": f"sqlite:///{folder / 'site.sqlite3'}",
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

    assert done.returncode == int("sso.E" in done.stderr)
    return done.stderr


def test_check_names_a_model_that_cannot_store_portal_users(tmp_path: Path) -> None:
    messages = messages_for("user_models.Pupil", tmp_path)

    assert "(sso.E026) user_models.Pupil.born must have a value" in messages
    assert "SSO_USER_MAPPER" in messages


def test_check_names_role_settings_that_have_no_effect(tmp_path: Path) -> None:
    member = messages_for("user_models.Member", tmp_path)
    organizer = messages_for("user_models.Organizer", tmp_path)

    assert "(sso.W023) SSO_STAFF_ROLES has no effect: user_models.Member has no field is_staff." in member
    assert "(sso.W023) SSO_ROLE_GROUPS has no effect: user_models.Member has no groups" in member
    assert "user.is_administrator = " in organizer
    assert "SSO_ROLE_GROUPS has" not in organizer


def test_check_names_a_required_text_that_would_stay_empty(tmp_path: Path) -> None:
    messages = messages_for("user_models.Translator", tmp_path)

    assert re.findall(r"sso\.\w+\) user_models.Translator\.\w+", messages) == [
        "sso.W020) user_models.Translator.name"
    ]
    assert '"name": snapshot.display_name' in messages


def test_mapper_that_sets_the_text_passes_the_check(tmp_path: Path) -> None:
    messages = messages_for("user_models.Translator", tmp_path, "tests.user_models.mappers.DisplayName")

    assert "user_models.Translator." not in messages
