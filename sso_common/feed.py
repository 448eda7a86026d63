"""Asks the portal: pages of the feed, and its state.

In: a cursor. Out: a frozen ``FeedPage``, verified. Called by ``sso_sync``, ``sso_link``,
``sso_doctor`` and the health view; never by a request that a person waits for.

A request is signed with the site's own key, for one method, address and minute, and only once (the
nonce). The answer is signed by the portal, over the same nonce.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from itsdangerous import URLSafeTimedSerializer
from itsdangerous.encoding import base64_decode
from itsdangerous.exc import BadData

from . import conf
from .exceptions import (
    BadSignature,
    MalformedFeed,
    PortalUnavailable,
    RequestRefused,
)
from .identity import verify_detached
from .snapshot import MAX_VERSION, UserSnapshot, parse_snapshot

#: Seconds for the connection and each wait, and for the answer as a whole.
TIMEOUT: Final = 5.0
DEADLINE: Final = 30.0
MAX_BYTES: Final = 32 * 1024 * 1024

_PATH: Final = "/sso/v1/"


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Part of the feed: snapshots by version, all after the cursor that was asked for."""

    users: tuple[UserSnapshot, ...]
    #: Where to go on from.
    cursor: int
    more: bool
    #: The newest version at the portal.
    head: int


@dataclass(frozen=True, slots=True)
class PortalStatus:
    """The portal's state; ``skew`` is how many seconds its clock is ahead of this machine's, give
    or take half of ``round_trip``."""

    time: float
    kids: tuple[str, ...]
    head: int
    skew: float
    round_trip: float


def fetch_page(after: int, limit: int | None = None) -> FeedPage:
    """Fetch the changes after a version.

    Raises ``PortalUnavailable``, ``RequestRefused``, ``BadSignature``, ``UnknownKey``,
    ``MalformedFeed`` or ``MalformedSnapshot``. A ``head`` below ``after`` is no error here.
    """
    limit = limit or conf.feed_page()
    return parse_page(_ask("users", {"after": after, "limit": limit}), after)


def fetch_status() -> PortalStatus:
    """Ask for the portal's state. Raises as ``fetch_page``."""
    sent = time.time()
    raw: Any = _ask("status", {})
    round_trip = time.time() - sent
    try:
        kids, now = raw["kids"], raw["time"]
        if not isinstance(now, int | float) or not all(isinstance(kid, str) for kid in kids):
            raise MalformedFeed("status")
        return PortalStatus(
            float(now), tuple(kids), _number(raw, "head"), now - sent - round_trip / 2, round_trip
        )
    except (KeyError, TypeError) as error:
        raise MalformedFeed("status") from error


def parse_page(raw: Any, after: int) -> FeedPage:
    """Turn a decoded answer into a page, or raise ``MalformedFeed`` or ``MalformedSnapshot``.

    A page that did not move the cursor on, or that would move it past a user, is refused: it
    would end in a loop, or in somebody left out for ever.
    """
    if not isinstance(raw, dict) or not isinstance(raw.get("users"), list):
        raise MalformedFeed("users")
    if not isinstance(raw.get("more"), bool):
        raise MalformedFeed("more")
    users = tuple(parse_snapshot(each) for each in raw["users"])
    cursor, head = _number(raw, "cursor"), _number(raw, "head")
    versions = [after, *(user.version for user in users), cursor]
    if versions != sorted(versions) or (users and users[0].version == after):
        raise MalformedFeed("order")
    if raw["more"] and cursor == after:
        raise MalformedFeed("cursor")
    return FeedPage(users, cursor, raw["more"], head)


def _number(raw: dict[str, Any], name: str) -> int:
    value = raw.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_VERSION:
        raise MalformedFeed(name)
    return value


def sign_request(method: str, path: str, nonce: str) -> str:
    """The ``Authorization`` header of a request, valid for a minute."""
    dsn = conf.dsn()
    serializer = URLSafeTimedSerializer(
        dsn.site_keys[0].request_key,
        salt="sso.request",
        signer_kwargs={"digest_method": hashlib.sha256},
    )
    return f"SSO {dsn.site}:{serializer.dumps({'m': method, 'p': path, 'n': nonce})}"


def _ask(name: str, query: dict[str, int]) -> Any:
    path = _PATH + name + (f"?{urlencode(query)}" if query else "")
    nonce = secrets.token_hex(16)
    try:
        status, headers, body = _get(path, sign_request("GET", path, nonce))
    except (OSError, http.client.HTTPException) as error:
        raise PortalUnavailable(f"{conf.portal_internal_url()}: {type(error).__name__}") from error
    if status != 200:
        raise _refusal(status, headers, body)
    _verify_answer(headers.get("SSO-Signature", ""), nonce, body)
    try:
        return json.loads(body)
    except ValueError as error:
        raise MalformedFeed("not JSON") from error


def _get(path: str, authorization: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    """One GET, on a connection of its own: no redirects, and an end to size and time."""
    address = urlsplit(conf.portal_internal_url())
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    deadline = time.monotonic() + DEADLINE
    connection = kind(address.hostname or "", address.port, timeout=TIMEOUT)
    try:
        # Servers may reach the portal by another name than the one that it knows itself by.
        headers = {
            "Host": urlsplit(conf.portal_url()).netloc,
            "Authorization": authorization,
            "Accept": "application/json",
            "User-Agent": "sso_common",
        }
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        body = bytearray()
        while chunk := response.read1(65536):
            body += chunk
            if len(body) > MAX_BYTES or time.monotonic() > deadline:
                raise TimeoutError("The answer is too long or too slow.")
        return response.status, response.headers, bytes(body)
    finally:
        connection.close()


def _refusal(
    status: int, headers: http.client.HTTPMessage, body: bytes
) -> PortalUnavailable | RequestRefused:
    if 300 <= status < 400:
        target = urlsplit(headers.get("Location", "")).netloc
        return RequestRefused(
            f"a redirect to {target[:80]!r}; {conf.INTERNAL_URL_VARIABLE} must be the portal itself"
        )
    if status >= 500 or status == 429:
        return PortalUnavailable(f"{conf.portal_internal_url()}: HTTP {status}")
    # The answer is not signed, so that it may only ever be shown.
    try:
        raw = json.loads(body[:10_000])
        reason = str(raw["error"])[:40]
        skew = float(raw["time"]) - time.time()
    except (ValueError, KeyError, TypeError, OverflowError):
        return RequestRefused(f"HTTP {status}")
    if reason == "stale":
        return RequestRefused(f"stale; this machine's clock is {-skew:+.0f} s off the portal's")
    return RequestRefused(reason if reason.replace("-", "").isalnum() else f"HTTP {status}")


def _verify_answer(header: str, nonce: str, body: bytes) -> None:
    kid, _, encoded = header.partition(".")
    try:
        signature = base64_decode(encoded)
    except BadData as error:
        raise BadSignature("SSO-Signature") from error
    signed = b"sso.response\n" + nonce.encode("ascii") + b"\n" + body
    verify_detached(signed, kid, signature, conf.public_keys())
