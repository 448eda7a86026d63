"""Probes of the settings and the database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import run_checks
from django.db import DatabaseError, connections, router
from django.db.migrations.executor import MigrationExecutor

from sso_common import checks, conf, users
from sso_common.domains import is_under, may_be_under
from sso_common.models import Account

from .findings import Finding, failure, ok, warning

COOKIE_HOST: Final = "cookie.host"


def system_check(name: str) -> Iterator[Finding]:
    """Run one system check of ``sso_common``, named as in ``checks.CHECKS``."""
    check = checks.CHECKS[name]
    messages = [message for message in check() if not message.is_silenced()]
    for message in messages:
        report = failure if message.is_serious() else warning
        yield report(f"settings.{name}", f"{message.msg} ({message.id})", message.hint or "")
    if not messages:
        yield ok(f"settings.{name}", (check.__doc__ or name).splitlines()[0])


def django_checks() -> Iterator[Finding]:
    """Run the checks of Django and of other apps, and report errors but no warnings."""
    errors = [
        message
        for message in run_checks()
        if message.is_serious() and not message.is_silenced() and not str(message.id).startswith("sso.")
    ]
    for message in errors:
        fix = message.hint or "Run: manage.py check"
        yield failure("settings.django", f"{message.msg} ({message.id})", fix)
    if not errors:
        yield ok("settings.django", "The checks of Django and of other apps find no error.")


def migrations() -> Iterator[Finding]:
    """Examine whether the tables of ``sso_common`` are up to date."""
    check, alias = "database.migrations", router.db_for_write(Account)
    try:
        executor = MigrationExecutor(connections[alias])
        targets = [node for node in executor.loader.graph.leaf_nodes() if node[0] == "sso_common"]
        missing = len(executor.migration_plan(targets))
    except DatabaseError as error:
        message = f"The database {alias!r} does not answer ({type(error).__name__})."
        yield failure(check, message, "Start the database, or correct DATABASES in the settings.")
        return
    if missing:
        message = f"Migrations of sso_common that are not applied: {missing}."
        yield failure(check, message, "Run: manage.py migrate")
    else:
        yield ok(check, "The tables of sso_common are up to date.")


def passwords() -> Iterator[Finding]:
    """Examine whether users who sign in at the portal have a second password, of this site."""
    check = "database.passwords"
    surplus, kept = users.count_passwords()
    if surplus:
        yield warning(
            check,
            f"Users who are linked to the portal and have a password of this site, too: {surplus}. "
            "The portal can neither change nor end these passwords.",
            "Run: manage.py sso_sync --full. It removes them. (If these users may log in with them, set "
            "SSO_LOCAL_LOGIN = True.)",
        )
    elif conf.local_login():
        yield ok(check, "SSO_LOCAL_LOGIN is set: users of the portal may have passwords of this site.")
    else:
        emergency = f", except {kept} superusers for emergencies" if kept else ""
        yield ok(check, f"No user of the portal has a password of this site{emergency}.")


def cookie_host(hosts: Sequence[str]) -> Iterator[Finding]:
    """Examine whether browsers send the SSO cookie to these hosts, or to those in ``ALLOWED_HOSTS``."""
    for host in hosts:
        yield given_host(host)
    if not hosts:
        yield allowed_hosts()


def given_host(host: str) -> Finding:
    domain = conf.dsn().domain
    if is_under(urlsplit(f"//{host}").hostname or "", domain):
        return ok(COOKIE_HOST, f"The SSO cookie for {domain} reaches {host}.")
    fix = f"Serve this site under a name that ends with .{domain}."
    return failure(COOKIE_HOST, f"The SSO cookie for {domain} never reaches {host}.", fix)


def allowed_hosts() -> Finding:
    domain = conf.dsn().domain
    # With DEBUG, Django allows .localhost if ALLOWED_HOSTS is empty.
    patterns = {each for each in settings.ALLOWED_HOSTS or [".localhost"] if may_be_under(each, domain)}
    if names := ", ".join(sorted(patterns - {"*"})):
        return ok(COOKIE_HOST, f"The SSO cookie for {domain} reaches {names}.")
    if patterns:
        return warning(
            COOKIE_HOST,
            "ALLOWED_HOSTS allows every host, so it does not say whether the SSO cookie reaches this site.",
            "Give the host name that browsers use: manage.py sso_doctor --host=<host>",
        )
    return failure(
        COOKIE_HOST,
        f"No host in ALLOWED_HOSTS is under {domain}, so the SSO cookie never reaches this site.",
        f"Serve this site under a name that ends with .{domain}, and add it to ALLOWED_HOSTS.",
    )
