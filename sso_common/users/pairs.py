"""Links pairs of a local user and a subject that an operator chose, or that the portal's import wrote."""

from __future__ import annotations

import csv
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, TextIO

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError

from sso_common.models import Account
from sso_common.snapshot import UserSnapshot

from .linking import is_included, is_privileged, link_users

#: The columns that can name the local user. The first that a file has counts.
KEYS: Final = ("id", "username")
#: Pairs that are linked in one transaction.
BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class Pair:
    """A local user, named by key or username, and a subject."""

    #: In the file; 1 is the header.
    line: int
    user: str
    sub: uuid.UUID
    #: Empty until it was examined; then "link", "linked", "failed", "same" (linked to this subject
    #: already), or the reason why not: "no-user", "no-subject", "taken", "other", "privileged", "inactive".
    status: str = ""


def read_pairs(file: TextIO) -> tuple[str, list[Pair]]:
    """Return the column that names the user, and the pairs in a CSV file.

    Raises ``ValidationError`` with the numbers of the lines that are not valid.
    """
    rows = csv.DictReader(file)
    names = rows.fieldnames or []
    key = next((name for name in KEYS if name in names), "")
    if not key or "sub" not in names:
        raise ValidationError("The first line must name the columns: id,sub or username,sub.")
    pairs, problems = [], []
    seen: dict[str, int] = {}
    for row in rows:
        user, text, line = (row[key] or "").strip(), (row["sub"] or "").strip(), rows.line_num
        try:
            sub = uuid.UUID(text)
        except ValueError:
            problems.append(f"Line {line}: {text!r} is not a subject.")
            continue
        for name in (f"user {user}", f"subject {sub}"):
            if name in seen:
                problems.append(f"Line {line}: the {name} is in line {seen[name]}, too.")
            seen.setdefault(name, line)
        pairs.append(Pair(line, user, sub))
    if problems:
        raise ValidationError(problems)
    return key, pairs


def link_pairs(
    key: str,
    pairs: Iterable[Pair],
    snapshots: Iterable[UserSnapshot],
    include_staff: list[str] | None,
    link: bool,
    keep_passwords: bool = False,
) -> Iterator[Pair]:
    """Examine pairs, and link those that can be; yields each with its status.

    ``key``: "id" or "username". ``snapshots``: of all users of the portal, in any order; they are read
    once, and not kept. ``link``: False to examine only.
    """
    wanted = {pair.sub: pair for pair in pairs}
    batch: list[tuple[Pair, UserSnapshot]] = []
    for snapshot in snapshots:
        if snapshot.sub in wanted and not snapshot.deleted:
            batch.append((wanted.pop(snapshot.sub), snapshot))
        if len(batch) == BATCH:
            yield from link_batch(key, batch, include_staff, link, keep_passwords)
            batch = []
    yield from link_batch(key, batch, include_staff, link, keep_passwords)
    for pair in wanted.values():
        yield replace(pair, status="no-subject")


def link_batch(
    key: str,
    batch: list[tuple[Pair, UserSnapshot]],
    include_staff: list[str] | None,
    link: bool,
    keep_passwords: bool,
) -> Iterator[Pair]:
    users = find_users(key, [pair.user for pair, _ in batch])
    rows = Account._default_manager
    taken = dict(rows.filter(pk__in=[pair.sub for pair, _ in batch]).values_list("sub", "user_id"))
    linked = set(rows.filter(user__in=list(users.values())).values_list("user_id", flat=True))
    judged = [
        (replace(pair, status=status_of(users.get(pair.user), pair.sub, taken, linked, include_staff)), each)
        for pair, each in batch
    ]
    failed: dict[uuid.UUID, Exception] = {}
    chosen = [(users[pair.user], snapshot) for pair, snapshot in judged if pair.status == "link"]
    if link and chosen:
        failed = link_users(chosen, keep_passwords=keep_passwords)
    for pair, _ in judged:
        is_done = link and pair.status == "link"
        status = ("failed" if pair.sub in failed else "linked") if is_done else pair.status
        yield replace(pair, status=status)


def find_users(key: str, texts: list[str]) -> dict[str, Any]:
    """Return {text: user}. Texts that cannot be a key of a user are left out."""
    model: Any = get_user_model()
    field = model._meta.pk if key == "id" else model._meta.get_field(model.USERNAME_FIELD)
    values = []
    for text in texts:
        try:
            values.append(field.to_python(text))
        except ValidationError:
            continue
    found = model._default_manager.filter(**{f"{field.name}__in": values})
    return {str(getattr(user, field.attname)): user for user in found}


def status_of(
    user: Any, sub: uuid.UUID, taken: dict[uuid.UUID, Any], linked: set[Any], include_staff: list[str] | None
) -> str:
    """Return "link", or the first reason that prevents the link."""
    if user is None:
        return "no-user"
    if taken.get(sub) == user.pk:
        return "same"
    reasons = {
        "taken": sub in taken,
        "other": user.pk in linked,
        "privileged": is_privileged(user) and not is_included(user, include_staff),
        "inactive": not user.is_active,
    }
    return next((reason for reason, applies in reasons.items() if applies), "link")
