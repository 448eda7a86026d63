"""Which site asks? Verifies signed requests, and signs the answers.

In: ``Authorization: SSO <site>:<token>``, where the token is an itsdangerous timed signature, with the
site's own request key, of {"m": method, "p": path with query, "n": nonce}. Out: the registered site, or
a refusal with its reason: 401, or 503 where Redis cannot remember the nonce.

The answer carries ``SSO-Signature: <kid>.<signature>`` over the nonce and the body, so that it can be
neither changed nor exchanged for the answer to another question.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from django.http import HttpRequest, HttpResponse, JsonResponse
from itsdangerous import BadData, URLSafeTimedSerializer
from itsdangerous.encoding import base64_encode

from portal import keys
from portal.registry.models import Site
from sso_common import conf, store
from sso_common.exceptions import StoreUnavailable
from sso_common.keys import SiteKeys

logger = logging.getLogger("portal.feed")

#: Seconds by which a request may be old, or the site's clock be ahead.
MAX_AGE: Final = 60

_HEADER = re.compile(rf"SSO (?P<site>{conf.SITE_NAME.pattern}):(?P<token>[A-Za-z0-9._-]{{1,4096}})")
_NONCE = re.compile(r"[0-9a-f]{32}")


class Refusal(Exception):
    """The request is not signed by the site in whose name it comes."""

    #: For the log.
    reason: ClassVar[str]
    #: For whoever asks, where that is another one.
    answer: ClassVar[str] = ""


class Unsigned(Refusal):
    """No ``Authorization: SSO`` header, or one that cannot be read."""

    reason = "unsigned"


class UnknownSite(Refusal):
    """No active site of that name is registered. Strangers are not told: they could probe for names."""

    reason = "unknown-site"
    answer = "bad-signature"


class WrongSignature(Refusal):
    """Not signed with this site's key: forged, or one site in another's name."""

    reason = "bad-signature"


class OtherRequest(Refusal):
    """Signed for another method or address."""

    reason = "other-request"


class Stale(Refusal):
    """Signed too long ago, or the two clocks disagree."""

    reason = "stale"


class Replayed(Refusal):
    """This very request has been answered already."""

    reason = "replayed"


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request of which it is proven which site sent it."""

    site: Site
    nonce: str


def verify_request(request: HttpRequest) -> SignedRequest:
    """Verify a request's signature. Raises a ``Refusal``, or ``StoreUnavailable``."""
    header = _HEADER.fullmatch(request.headers.get("Authorization", ""))
    if header is None:
        raise Unsigned
    site = Site.objects.filter(name=header["site"], is_active=True).first()
    site_keys = keys.site_keys(header["site"])
    if site is None:
        # Takes as long as for a site that exists, and nobody knows this key.
        with contextlib.suppress(WrongSignature):
            _unsign([SiteKeys(secrets.token_bytes(32))], header["token"])
        raise UnknownSite
    claims, signed_at = _unsign(site_keys, header["token"])
    if claims.get("m") != request.method or claims.get("p") != request.get_full_path():
        raise OtherRequest
    if abs(time.time() - signed_at) > MAX_AGE:
        raise Stale
    nonce = claims.get("n")
    if not isinstance(nonce, str) or _NONCE.fullmatch(nonce) is None:
        raise Unsigned
    if not _remember(site.name, nonce):
        raise Replayed
    return SignedRequest(site, nonce)


def _unsign(site_keys: Sequence[SiteKeys], token: str) -> tuple[dict[str, Any], float]:
    # While a site's secret rotates there are two.
    for each in site_keys:
        serializer = URLSafeTimedSerializer(
            each.request_key, salt="sso.request", signer_kwargs={"digest_method": hashlib.sha256}
        )
        try:
            claims, signed_at = serializer.loads(token, return_timestamp=True)
        except (BadData, ValueError, OverflowError):
            continue
        if isinstance(claims, dict):
            return claims, signed_at.timestamp()
    raise WrongSignature


def _remember(site: str, nonce: str) -> bool:
    """Whether the nonce is new. It is kept for as long as its request could pass as fresh."""
    key = f"{conf.namespace()}:nonce:{site}:{nonce}"
    with store.answering():
        return bool(store.client().set(key, b"1", nx=True, px=(2 * MAX_AGE + 10) * 1000))


def for_sites(view: Callable[[HttpRequest, Site], JsonResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Give a view the site that asks, sign its answer, and answer everybody else with the reason."""

    @functools.wraps(view)
    def answer(request: HttpRequest) -> HttpResponse:
        try:
            signed = verify_request(request)
        except Refusal as refusal:
            logger.warning("Refused a request for the feed: %s", refusal.reason)
            response: HttpResponse = JsonResponse(
                # The time lets a site with a wrong clock say so.
                {"error": refusal.answer or refusal.reason, "time": time.time()},
                status=401,
                headers={"WWW-Authenticate": "SSO"},
            )
        except StoreUnavailable as error:
            logger.error("A signed request could not be checked for replay: %s", error)  # noqa: TRY400
            response = JsonResponse({"error": error.reason}, status=503, headers={"Retry-After": "5"})
        else:
            response = view(request, signed.site)
            kid, signature = keys.sign_detached(
                b"sso.response\n" + signed.nonce.encode("ascii") + b"\n" + response.content
            )
            response.headers["SSO-Signature"] = f"{kid}.{base64_encode(signature).decode('ascii')}"
        response.headers["Cache-Control"] = "no-store"
        return response

    return answer
