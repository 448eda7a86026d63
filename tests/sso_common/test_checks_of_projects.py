"""The checks in real processes: our projects pass, and each line that a site leaves out is reported."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sso_common.testing import make_dsn

ROOT = Path(__file__).resolve().parents[2]


def ids_in(text: str) -> list[str]:
    return re.findall(r"sso\.[EW]\d{3}", text)


def run_check(settings_module: str, environment: dict[str, str], *paths: Path) -> str:
    """Return the output of ``check --deploy`` for a settings module."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SSO_", "DJANGO_"))}
    done = subprocess.run(
        [sys.executable, "-m", "django", "check", "--deploy"],
        env=clean
        | {"DJANGO_SETTINGS_MODULE": settings_module, "PYTHONPATH": os.pathsep.join(map(str, [*paths, ROOT]))}
        | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


SITE_ENVIRONMENT = {
    "SSO_DSN": make_dsn(
        "site_a",
        "redis://127.0.0.1:6379/0",
        domain="example.com",
        portal_url="https://portal.example.com",
        namespace="sso",
    ),
    "SITE_HOSTS": "a.example.com",
    "DATABASE_URL": "sqlite://:memory:",
}
PORTAL_ENVIRONMENT = {
    "SSO_ROOT_SECRET": "b2YtdGhlLXRlc3RzLW9mLXRoZS10ZXN0cy1vZi10aGUtdGVzdHM",
    "SSO_PORTAL_URL": "https://portal.example.com",
    "SSO_DOMAIN": "example.com",
    "SSO_REDIS_URL": "redis://sso-portal:password@127.0.0.1:6379/0",
    "DATABASE_URL": "sqlite://:memory:",
}


@pytest.mark.parametrize(
    ("module", "environment"),
    [
        ("portal.settings", PORTAL_ENVIRONMENT),
        ("site_a.settings", SITE_ENVIRONMENT),
        ("site_b.settings", SITE_ENVIRONMENT),
    ],
)
def test_projects_of_this_repository_pass_every_check(module: str, environment: dict[str, str]) -> None:
    output = run_check(module, environment)

    assert "System check identified" in output
    assert ids_in(output) == []


#: The mark of a line in site_a/settings.py -> parts of the output without that line.
MISSING = {
    "# SSO 1": ("name 'sso' is not defined",),
    "# SSO 2": ("sso.E003", "SECRET_KEY, *SECRET_KEY_FALLBACKS = sso.secret_keys()"),
    "# SSO 3": ("ImproperlyConfigured", 'INSTALLED_APPS += ["sso_common"]'),
    "# SSO 4": ("sso.E004", '"sso_common.middleware.SessionMiddleware"'),
    "# SSO 5": ("sso.E005", '"sso_common.middleware.AuthenticationMiddleware"'),
    "# SSO 6": ("sso.E008", '"sso_common.backends.SSOBackend"'),
    "# SSO 7": ("sso.E009", 'SESSION_ENGINE = "sso_common.sessions"'),
    "# SSO 8": ("sso.W001", 'SESSION_COOKIE_NAME, SESSION_COOKIE_SECURE = "__Host-session", True'),
    "# SSO 9": ("sso.E016", 'CACHES["sso"] = sso.cache()'),
    "# SSO 10": ("sso.E020", 'LOGIN_URL = "sso:login"'),
}


@pytest.mark.parametrize("mark", MISSING)
def test_missing_line_in_the_settings_is_reported(mark: str, tmp_path: Path) -> None:
    lines = (ROOT / "site_a" / "settings.py").read_text().splitlines(keepends=True)
    kept = [line for line in lines if re.search(rf"{mark}\b", line) is None]
    (tmp_path / "incomplete.py").write_text("".join(kept))

    output = run_check("incomplete", SITE_ENVIRONMENT, tmp_path)

    assert len(lines) - len(kept) == 1
    for part in MISSING[mark]:
        assert part in output
    assert set(ids_in(output)) <= set(MISSING[mark])


def test_missing_line_in_the_urls_is_reported(tmp_path: Path) -> None:
    lines = (ROOT / "site_a" / "urls.py").read_text().splitlines(keepends=True)
    kept = [line for line in lines if 'include("sso_common.urls")' not in line]
    (tmp_path / "incomplete_urls.py").write_text("".join(kept))
    text = (ROOT / "site_a" / "settings.py").read_text().replace('"site_a.urls"', '"incomplete_urls"')
    (tmp_path / "incomplete.py").write_text(text)

    output = run_check("incomplete", SITE_ENVIRONMENT, tmp_path)

    assert len(lines) - len(kept) == 1
    assert ids_in(output) == ["sso.E019"]
    assert 'Write in urlpatterns of incomplete_urls: path("sso/", include("sso_common.urls"))' in output


def test_missing_environment_variable_is_reported() -> None:
    output = run_check("site_a.settings", SITE_ENVIRONMENT | {"SSO_DSN": ""})

    assert ids_in(output) == ["sso.E001"]
    assert "The environment variable SSO_DSN is not set." in output


def test_server_without_the_app_does_not_start_and_names_the_line(tmp_path: Path) -> None:
    text = (ROOT / "site_a" / "settings.py").read_text().replace('INSTALLED_APPS += ["sso_common"]', "")
    (tmp_path / "incomplete.py").write_text(text)
    environment = os.environ | SITE_ENVIRONMENT | {"DJANGO_SETTINGS_MODULE": "incomplete"}

    done = subprocess.run(
        [sys.executable, "-c", "from django.core.wsgi import get_wsgi_application as start; start()"],
        env=environment | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode != 0
    assert 'ImproperlyConfigured: Write in the settings: INSTALLED_APPS += ["sso_common"]' in done.stderr


def test_test_settings_of_the_readme_pass_every_check(tmp_path: Path) -> None:
    """Also for a site whose own hosts are not under the domain of the tests."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (block,) = [each for each in blocks if "settings_for_tests.py" in each]
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "settings.py").write_text((ROOT / "site_a" / "settings.py").read_text())
    (folder / "settings_for_tests.py").write_text(block)
    environment = SITE_ENVIRONMENT | {"SSO_DSN": "", "SITE_HOSTS": "notes.example.com"}

    output = run_check("notes.settings_for_tests", environment, tmp_path)

    assert "System check identified" in output
    assert ids_in(output) == []
