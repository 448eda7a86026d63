"""``manage.py sso_keys``: which keys sign and are trusted, and the next step of a rotation.

The generations in use are configuration (``SSO_SIGNING_KEYS``, ``SSO_SIGNING_KEY``), the same for every
process of the portal; this command says what to set, when it is safe to go on, and signs live sessions anew.
"""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from portal import keys
from portal.sessions import services
from sso_common.exceptions import StoreUnavailable


class Command(BaseCommand):
    """See the module's docstring."""

    help = "Show the signing keys and guide their rotation: publish, promote, retire."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="show the keys and what each live session is signed with")
        actions.add_parser("publish", help="how to make a new key known, before it signs")
        actions.add_parser("promote", help="how to let the newest key sign")
        actions.add_parser("resign", help="sign all live sessions with the key that is promoted now")
        actions.add_parser("retire", help="how to stop trusting old keys, once nothing needs them")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['action']}")(keys.keyring())
        except StoreUnavailable as error:
            raise CommandError(f"Redis does not answer ({error.detail}).") from error

    def _list(self, ring: keys.Keyring) -> None:
        signed = services.count_by_kid()
        for generation in ring.signing_generations:
            kid, _ = ring.public_key(generation)
            state = "signs" if generation == ring.signing_generation else "trusted"
            self.stdout.write(f"{generation}\t{kid}\t{state}\t{signed.pop(kid, 0)} live sessions")
        for kid, count in signed.items():
            self.stdout.write(f"-\t{kid}\tretired\t{count} live sessions (nobody accepts them)")

    def _publish(self, ring: keys.Keyring) -> None:
        newest = max(ring.signing_generations) + 1
        listed = ",".join(map(str, [newest, *ring.signing_generations]))
        self._say(
            f"1. Set SSO_SIGNING_KEYS={listed} and SSO_SIGNING_KEY={ring.signing_generation}; "
            "restart the portal.",
            "2. Give every site its new DSN (manage.py sso_site dsn NAME) and restart it.",
            "3. Then: manage.py sso_keys promote",
        )

    def _promote(self, ring: keys.Keyring) -> None:
        newest = ring.signing_generations[0]
        if newest == ring.signing_generation:
            raise CommandError(
                f"Generation {newest}, the newest, signs already. Start with: sso_keys publish"
            )
        self._say(
            f"1. Once every site knows key {ring.public_key(newest)[0]} (`sso_doctor` there says so), set "
            f"SSO_SIGNING_KEY={newest}; restart the portal.",
            "2. manage.py sso_keys resign",
            "3. Then: manage.py sso_keys retire",
        )

    def _resign(self, ring: keys.Keyring) -> None:
        self.stdout.write(f"{services.resign_all()} live sessions are signed with {ring.kid}.")

    def _retire(self, ring: keys.Keyring) -> None:
        old: Counter[str] = services.count_by_kid()
        old.pop(ring.kid, None)
        if ring.signing_generations == (ring.signing_generation,):
            raise CommandError("There is only one key; nothing is to be retired.")
        if sum(old.values()):
            raise CommandError(
                f"{sum(old.values())} live sessions need an older key: run sso_keys resign first."
            )
        self._say(
            f"1. Set SSO_SIGNING_KEYS={ring.signing_generation} and no SSO_SIGNING_KEY; restart the portal.",
            "2. Give every site its new DSN (manage.py sso_site dsn NAME) and restart it.",
        )

    def _say(self, *lines: str) -> None:
        self.stdout.write("\n".join(lines))
