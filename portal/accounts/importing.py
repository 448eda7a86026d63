"""Imports the users of a site as accounts, with their password hashes.

Nothing is written that the site cannot know: no rights, and no address counts as verified that the site
has not verified.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import identify_hasher, make_password
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from sso_common.exceptions import MalformedSnapshot
from sso_common.exported import ExportedUser, parse_user

from . import versions
from .imported import ImportedAccount
from .models import User

BATCH: Final = 1000

#: What checking a hash may cost at most: each sign-in pays for it. {algorithm: {parameter: limit}}
HIGHEST_COST: Final[dict[str, dict[str, int]]] = {
    "argon2": {"memory_cost": 1 << 20, "time_cost": 16, "parallelism": 16},
    "scrypt": {"work_factor": 1 << 14, "block_size": 8, "parallelism": 16},
    "pbkdf2_sha256": {"iterations": 5_000_000},
    "pbkdf2_sha1": {"iterations": 5_000_000},
    "bcrypt_sha256": {"work_factor": 15},
}

#: Reported for a line that is not imported.
CONFLICTS: Final = {
    "invalid": "is not valid",
    "no-address": "has no email address, which every account needs",
    "address": "has an address that an account has already, and not both sides have verified it",
    "repeated": "has the address of another user of this site: merge the two at the site first",
    "username": "has a username that an account has already",
}
#: Reported for a line that is imported.
NOTES: Final = {
    "merged": "is the account that has the same verified address; its name and password stay",
    "renamed": "gets another username",
    "no-password": "has no password hash that the portal knows: the person has to reset the password",
    "rights": "is staff or superuser at the site, and gets no rights at the portal",
    "inactive": "is inactive at the site",
}

#: Called with (line, kind, detail).
Report = Callable[[int, str, str], None]


@dataclass(slots=True)
class Known:
    """What the database has that a batch can conflict with."""

    #: {key at the site: subject} of earlier imports.
    keys: dict[str, uuid.UUID] = field(default_factory=dict)
    #: {address in lower case: (subject, whether it is verified)}
    addresses: dict[str, tuple[uuid.UUID, bool]] = field(default_factory=dict)
    #: In lower case.
    usernames: set[str] = field(default_factory=set)
    #: Subjects of those addresses that are an account of a user of this site already.
    claimed: set[uuid.UUID] = field(default_factory=set)


class Import:
    """Writes the lines of a file in batches. Call it in a transaction."""

    def __init__(self, site: str, using: str, report: Report, *, rename: bool) -> None:
        self.site = site
        self.using = using
        self.report = report
        self.rename = rename
        self.counts: Counter[str] = Counter()
        self.users: models.QuerySet[User] = models.QuerySet(User, using=using)

    def run(self, lines: Iterator[tuple[int, str]]) -> None:
        """Import (number, text) of lines. Memory does not grow with their number."""
        while batch := list(islice(lines, BATCH)):
            self.write(list(self.parse(batch)))

    def note(self, line: int, kind: str, detail: str = "") -> None:
        self.counts[kind] += 1
        self.report(line, kind, detail)

    def parse(self, batch: Iterable[tuple[int, str]]) -> Iterator[tuple[int, ExportedUser]]:
        for line, text in batch:
            try:
                row = parse_user(text)
                check_fields(row)
            except MalformedSnapshot as error:
                self.note(line, "invalid", error.detail)
            except ValidationError as error:
                self.note(line, "invalid", " ".join(error.messages))
            else:
                yield line, row

    def write(self, rows: list[tuple[int, ExportedUser]]) -> None:
        known = self.read_known([row for _, row in rows])
        created: list[User] = []
        imported: list[ImportedAccount] = []
        for line, row in rows:
            if row.key in known.keys:
                self.counts["known"] += 1
                continue
            user, sub = self.decide(line, row, known)
            if user is not None:
                created.append(user)
            if sub is not None:
                imported.append(ImportedAccount(site=self.site, key=row.key, sub=sub))
                known.keys[row.key] = sub
                known.claimed.add(sub)
        allocated = versions.allocate(len(created), self.using)
        for user, version in zip(created, allocated, strict=True):
            user.version = version
        self.users.bulk_create(created)
        EmailAddress.objects.using(self.using).bulk_create(
            EmailAddress(user=user, email=user.email.lower(), verified=user.email_verified, primary=True)
            for user in created
        )
        ImportedAccount.objects.using(self.using).bulk_create(imported)

    def decide(self, line: int, row: ExportedUser, known: Known) -> tuple[User | None, uuid.UUID | None]:
        """Return the new account, if any, and the subject of the line; neither if there is a conflict."""
        if not row.email:
            return self.refuse(line, "no-address", row.username)
        owner, is_verified = known.addresses.get(row.email.lower(), (None, False))
        if owner is not None and owner in known.claimed:
            return self.refuse(line, "repeated", row.email)
        if owner is not None and not (is_verified and row.email_verified):
            return self.refuse(line, "address", row.email)
        if not row.is_active:
            self.note(line, "inactive", row.username)
        if row.is_privileged:
            self.note(line, "rights", row.username)
        if owner is not None:
            self.note(line, "merged", row.email)
            return None, owner
        user = self.new_account(line, row, known)
        return user, None if user is None else user.pk

    def refuse(self, line: int, kind: str, detail: str) -> tuple[None, None]:
        self.note(line, kind, detail)
        return None, None

    def new_account(self, line: int, row: ExportedUser, known: Known) -> User | None:
        sub = uuid.uuid4()
        names = [row.username]
        if self.rename:
            names += [self.with_site(row.username), f"{row.username[:130]}-{sub.hex[:12]}"]
        username = next((name for name in names if is_free(name, row.email, known)), None)
        if username is None:
            self.note(line, "username", row.username)
            return None
        if username != row.username:
            self.note(line, "renamed", f"{row.username} -> {username}")
        has_password = is_known_hash(row.password)
        if not has_password:
            self.note(line, "no-password", username)
        known.usernames.add(username.lower())
        known.addresses[row.email.lower()] = (sub, row.email_verified)
        self.counts["created"] += 1
        return User(
            sub=sub,
            username=username,
            email=row.email,
            email_verified=row.email_verified,
            first_name=row.first_name,
            last_name=row.last_name,
            is_active=row.is_active,
            password=row.password if has_password else make_password(None),
            date_joined=joined_at(row),
        )

    def with_site(self, username: str) -> str:
        return f"{username[:117]}-{self.site}"

    def read_known(self, rows: list[ExportedUser]) -> Known:
        # People sign in with either, so the username of one must not be the address of another.
        emails = {text.lower() for row in rows for text in (row.email, row.username) if "@" in text}
        names = {name.lower() for row in rows for name in (row.username, self.with_site(row.username))}
        imported = ImportedAccount.objects.using(self.using).filter(site=self.site)
        users = self.users.alias(_email=Lower("email"), _name=Lower("username")).order_by()
        addresses = {
            email.lower(): (sub, is_verified)
            for email, sub, is_verified in users.filter(_email__in=emails).values_list(
                "email", "pk", "email_verified"
            )
        }
        # An account can have a second address.
        others = EmailAddress.objects.using(self.using).filter(email__in=emails, verified=True)
        addresses |= {email.lower(): (sub, True) for email, sub in others.values_list("email", "user_id")}
        return Known(
            keys=dict(imported.filter(key__in=[row.key for row in rows]).values_list("key", "sub")),
            addresses=addresses,
            usernames={
                name.lower() for name in users.filter(_name__in=names).values_list("username", flat=True)
            },
            claimed=set(
                imported.filter(sub__in=[sub for sub, _ in addresses.values()]).values_list("sub", flat=True)
            ),
        )


def is_free(username: str, email: str, known: Known) -> bool:
    """Whether a username belongs to nobody else, neither as username nor as address."""
    name = username.lower()
    return name not in known.usernames and (name == email.lower() or name not in known.addresses)


def check_fields(row: ExportedUser) -> None:
    """Check the values against the fields of an account. Raises ``ValidationError``."""
    if not row.key:
        raise ValidationError("The key is missing.")
    for name in ("username", "email", "first_name", "last_name"):
        column: Any = User._meta.get_field(name)
        value = getattr(row, name)
        if value or name == "username":
            column.clean(value, None)
    if row.joined and parse_datetime(row.joined) is None:
        raise ValidationError("The time of joining is not in ISO 8601.")


def is_known_hash(encoded: str) -> bool:
    """Whether a hash is of an algorithm in ``PASSWORD_HASHERS``, and complete."""
    if not encoded or len(encoded) > 128:
        return False
    try:
        hasher: Any = identify_hasher(encoded)
        if hasher.library:
            hasher._load_library()  # not every portal has bcrypt
        decoded = hasher.decode(encoded)
        costs = HIGHEST_COST.get(hasher.algorithm, {}).items()
        return all(0 < int(decoded.get(name, 1)) <= limit for name, limit in costs)
    except (ValueError, TypeError, KeyError, IndexError, AssertionError):
        return False


def joined_at(row: ExportedUser) -> Any:
    joined = parse_datetime(row.joined) if row.joined else None
    if joined is None:
        return timezone.now()
    return joined if timezone.is_aware(joined) else timezone.make_aware(joined)
