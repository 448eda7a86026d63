"""``manage.py sso_keys``: list the signing keys, and guide through their rotation.

The generations in use are settings in the environment (``SSO_SIGNING_KEYS``, ``SSO_SIGNING_KEY``), which all
processes of the portal share. This command says what to set and when, and re-signs live sessions.
"""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from portal import keys
from portal.sessions import resigning
from sso_common.exceptions import StoreUnavailable


class Command(BaseCommand):
    """See the module's docstring."""

    help = "Show the signing keys and guide their rotation: publish, promote, retire."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="list the keys, and count the live sessions that each has signed")
        actions.add_parser("publish", help="how to make a new key known to the sites")
        actions.add_parser("promote", help="how to sign with the newest key")
        actions.add_parser("resign", help="re-sign all live sessions with the key that signs now")
        actions.add_parser("retire", help="how to stop trusting old keys, when no session needs them")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['action']}")(keys.keyring())
        except StoreUnavailable as error:
            raise CommandError(f"Redis does not answer ({error.detail}).") from error

    def _list(self, ring: keys.Keyring) -> None:
        signed = resigning.count_by_kid()
        for generation in ring.signing_generations:
            kid, _ = ring.public_key(generation)
            state = "signs" if generation == ring.signing_generation else "trusted"
            self.stdout.write(f"{generation}\t{kid}\t{state}\t{signed.pop(kid, 0)} live sessions")
        for kid, count in signed.items():
            self.stdout.write(f"-\t{kid}\tretired\t{count} live sessions (no site accepts them)")

    def _publish(self, ring: keys.Keyring) -> None:
        newest = max(ring.signing_generations) + 1
        listed = ",".join(map(str, [newest, *ring.signing_generations]))
        self._say(
            f"1. Set SSO_SIGNING_KEYS={listed} and SSO_SIGNING_KEY={ring.signing_generation}; "
            "restart the portal.",
            "2. Give every site its new DSN (manage.py sso_site dsn NAME) and restart it.",
            "3. Run: manage.py sso_keys promote",
        )

    def _promote(self, ring: keys.Keyring) -> None:
        newest = ring.signing_generations[0]
        if newest == ring.signing_generation:
            raise CommandError(
                f"Generation {newest} is the newest, and already signs. Run sso_keys publish first."
            )
        self._say(
            f"1. Wait until every site knows key {ring.public_key(newest)[0]} (run sso_doctor at the sites).",
            f"2. Set SSO_SIGNING_KEY={newest}; restart the portal.",
            "3. Run: manage.py sso_keys resign",
            "4. Run: manage.py sso_keys retire",
        )

    def _resign(self, ring: keys.Keyring) -> None:
        self.stdout.write(f"{resigning.resign_all()} live sessions are now signed with {ring.kid}.")

    def _retire(self, ring: keys.Keyring) -> None:
        old: Counter[str] = resigning.count_by_kid()
        old.pop(ring.kid, None)
        if ring.signing_generations == (ring.signing_generation,):
            raise CommandError("There is only one key, so there is none to retire.")
        if sum(old.values()):
            raise CommandError(
                f"{sum(old.values())} live sessions need an older key. Run sso_keys resign first."
            )
        self._say(
            f"1. Set SSO_SIGNING_KEYS={ring.signing_generation} and no SSO_SIGNING_KEY; restart the portal.",
            "2. Give every site its new DSN (manage.py sso_site dsn NAME) and restart it.",
        )

    def _say(self, *lines: str) -> None:
        self.stdout.write("\n".join(lines))
