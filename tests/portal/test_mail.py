"""The settings for mail exist in the installed version of Django."""

from __future__ import annotations

import importlib

import django
import pytest

from portal.mail import mail_settings


def path_of(settings: dict[str, object]) -> object:
    mailers = settings.get("MAILERS")
    return mailers["default"]["BACKEND"] if isinstance(mailers, dict) else settings["EMAIL_BACKEND"]


@pytest.mark.parametrize(
    "environment",
    [{"EMAIL_HOST": "mail.example.com"}, {"EMAIL_FOLDER": "/mail"}, {}],
    ids=["smtp", "folder", "console"],
)
def test_mail_backends_exist_in_django(environment: dict[str, str]) -> None:
    module, _, name = str(path_of(mail_settings(environment))).rpartition(".")

    assert hasattr(importlib.import_module(module), name)


@pytest.mark.skipif(django.VERSION >= (6, 1), reason="Django 6.1 has MAILERS")
def test_older_django_gets_the_older_mail_settings() -> None:
    settings = mail_settings({"EMAIL_HOST": "mail.example.com", "EMAIL_HOST_USER": "portal"})

    assert settings["EMAIL_HOST"] == "mail.example.com"
    assert settings["EMAIL_HOST_USER"] == "portal"
    assert settings["EMAIL_USE_TLS"] is True


@pytest.mark.skipif(django.VERSION < (6, 1), reason="MAILERS came with Django 6.1")
def test_newer_django_gets_one_mail_setting() -> None:
    settings = mail_settings({"EMAIL_HOST": "mail.example.com", "EMAIL_HOST_USER": "portal"})

    assert list(settings) == ["MAILERS"]
    assert settings["MAILERS"]["default"]["OPTIONS"]["username"] == "portal"
