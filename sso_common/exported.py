"""A user of a site on its way to the portal: ``sso_export`` writes a file, ``import_accounts`` reads it.

The file has one JSON object in each line. The first one names the format and the site.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from .exceptions import MalformedSnapshot
from .snapshot import flag_field, text_field

FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class ExportedUser:
    """One line. ``password`` is a hash as Django stores it, or empty."""

    #: The primary key at the site, as text.
    key: str
    username: str
    email: str
    #: The site has confirmed that the user receives mail at this address.
    email_verified: bool
    first_name: str
    last_name: str
    is_active: bool
    #: Staff or superuser at the site. The portal reports it and gives no rights.
    is_privileged: bool
    password: str
    #: ISO 8601, or empty.
    joined: str

    def to_line(self) -> str:
        return json.dumps(asdict(self))


def header(site: str) -> str:
    """Return the first line of a file."""
    return json.dumps({"format": FORMAT, "site": site})


def parse_header(line: str) -> str:
    """Return the name of the site. Raises ``MalformedSnapshot``."""
    raw = decode(line)
    if raw.get("format") != FORMAT:
        raise MalformedSnapshot("format")
    return text_field(raw, "site", limit=32)


def parse_user(line: str) -> ExportedUser:
    """Return the user in a line. Raises ``MalformedSnapshot`` with the name of the field."""
    raw = decode(line)
    return ExportedUser(
        key=text_field(raw, "key"),
        username=text_field(raw, "username"),
        email=text_field(raw, "email"),
        email_verified=flag_field(raw, "email_verified"),
        first_name=text_field(raw, "first_name"),
        last_name=text_field(raw, "last_name"),
        is_active=flag_field(raw, "is_active"),
        is_privileged=flag_field(raw, "is_privileged"),
        password=text_field(raw, "password"),
        joined=text_field(raw, "joined"),
    )


def decode(line: str) -> dict[str, Any]:
    try:
        raw = json.loads(line)
    except ValueError as error:
        raise MalformedSnapshot("not JSON") from error
    if not isinstance(raw, dict):
        raise MalformedSnapshot("not an object")
    return raw
