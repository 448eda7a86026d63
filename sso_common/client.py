"""Sends one signed request to the portal, and verifies the answer."""

from __future__ import annotations

import http.client
import json
import secrets
import time
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from . import conf
from .exceptions import MalformedFeed, PortalUnavailable, RequestRefused
from .requests import sign_request, verify_answer

#: Seconds for the connection and for each wait, and for the answer as a whole.
TIMEOUT: Final = 5.0
DEADLINE: Final = 30.0
MAX_BYTES: Final = 32 * 1024 * 1024


def get_signed(name: str, query: dict[str, int]) -> Any:
    """GET ``/sso/v1/<name>`` and return the decoded JSON.

    Raises ``PortalUnavailable``, ``RequestRefused``, ``BadSignature``, ``UnknownKey`` or
    ``MalformedFeed``.
    """
    path = f"/sso/v1/{name}" + (f"?{urlencode(query)}" if query else "")
    nonce = secrets.token_hex(16)
    try:
        status, headers, body = get(path, authorization("GET", path, nonce))
    except (OSError, http.client.HTTPException) as error:
        raise PortalUnavailable(f"{conf.portal_internal_url()}: {type(error).__name__}") from error
    if status != 200:
        raise refusal(status, headers, body)
    verify_answer(headers.get("SSO-Signature", ""), nonce, body, conf.dsn().public_keys)
    try:
        return json.loads(body)
    except ValueError as error:
        raise MalformedFeed("not JSON") from error


def authorization(method: str, path: str, nonce: str) -> str:
    """The ``Authorization`` header of a request in the name of this site."""
    dsn = conf.dsn()
    return sign_request(dsn.site, dsn.site_keys[0], method, path, nonce)


def get(path: str, authorization: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    """One GET on a connection of its own. Follows no redirects; size and time are limited."""
    address = urlsplit(conf.portal_internal_url())
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    deadline = time.monotonic() + DEADLINE
    connection = kind(address.hostname or "", address.port, timeout=TIMEOUT)
    headers = {
        # This server may reach the portal by another name than the portal's own.
        "Host": urlsplit(conf.dsn().portal_url).netloc,
        "Authorization": authorization,
        "Accept": "application/json",
        "User-Agent": "sso_common",
    }
    try:
        connection.request("GET", path, headers=headers)
        with connection.getresponse() as response:
            body = bytearray()
            while chunk := response.read1(65536):
                body += chunk
                if len(body) > MAX_BYTES or time.monotonic() > deadline:
                    raise TimeoutError("The answer is too long or too slow.")
            return response.status, response.headers, bytes(body)
    finally:
        connection.close()


def refusal(status: int, headers: http.client.HTTPMessage, body: bytes) -> PortalUnavailable | RequestRefused:
    """The exception for an answer that is not 200. Such an answer is not signed, so it is only shown."""
    if 300 <= status < 400:
        target = urlsplit(headers.get("Location", "")).netloc
        return RequestRefused(
            f"a redirect to {target[:80]!r}; {conf.INTERNAL_URL_VARIABLE} must be the portal itself"
        )
    if status >= 500 or status == 429:
        return PortalUnavailable(f"{conf.portal_internal_url()}: HTTP {status}")
    try:
        raw = json.loads(body[:10_000])
        reason = str(raw["error"])[:40]
        skew = float(raw["time"]) - time.time()
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return RequestRefused(f"HTTP {status}")
    if reason == "stale":
        return RequestRefused(f"stale; this machine's clock is {-skew:+.0f} s off the portal's")
    return RequestRefused(reason if reason.replace("-", "").isalnum() else f"HTTP {status}")
