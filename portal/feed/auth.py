"""Authenticates the sites that request the feed, and signs the answers.

A view that is decorated with ``for_sites`` receives the registered site. Everything else is answered with
401 and a reason, or with 503 where Redis cannot remember the nonce.
"""

from __future__ import annotations

import functools
import logging
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse, JsonResponse

from portal.keys import keyring, sign_detached
from portal.registry.models import Site
from sso_common import conf, store
from sso_common.exceptions import StoreUnavailable
from sso_common.flows import Flow
from sso_common.keys import SiteKeys
from sso_common.requests import (
    MAX_AGE,
    Refusal,
    answer_header,
    answer_payload,
    parse_authorization,
    verify_request,
)

logger = logging.getLogger("portal.feed")


class UnknownSite(Refusal):
    """No active site of that name is registered. The client is not told, or it could probe for names."""

    reason = "unknown-site"
    answer = "bad-signature"


class Replayed(Refusal):
    """This request has already been answered."""

    reason = "replayed"


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request that was verified to come from a site."""

    site: Site
    nonce: str


def authenticate(request: HttpRequest) -> SignedRequest:
    """Verify which site has sent a request. Raises a ``Refusal``, or ``StoreUnavailable``."""
    authorization = parse_authorization(request.headers.get("Authorization", ""))
    method, path = str(request.method), request.get_full_path()
    site = Site.objects.filter(name=authorization.site, is_active=True).first()
    if site is None:
        # Takes as long as for a site that exists.
        with suppress(Refusal):
            verify_request(authorization, [SiteKeys(secrets.token_bytes(32))], method, path)
        raise UnknownSite
    nonce = verify_request(authorization, keyring().site_keys(site.name, site.generations), method, path)
    if not store.run(remember_nonce(site.name, nonce)):
        raise Replayed
    return SignedRequest(site, nonce)


def remember_nonce(site: str, nonce: str) -> Flow[bool]:
    """Store a nonce for as long as its request could be fresh. Returns False if it was already stored."""
    key, value = store.nonce_key(conf.dsn().namespace, site, nonce), secrets.token_bytes(16)
    seconds = 2 * MAX_AGE + 10
    (stored,) = store.checked((yield [("SET", key, value, "NX", "GET", "EX", seconds)]))
    # Our own value: the connection broke after the first attempt, and the command was sent again.
    return stored in (None, value)


def for_sites(view: Callable[[HttpRequest, Site], JsonResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Pass a view the site that sends the request, and sign its answer; refuse all other requests."""

    @functools.wraps(view)
    def answer(request: HttpRequest) -> HttpResponse:
        try:
            signed = authenticate(request)
        except Refusal as refusal:
            logger.warning("Refused a feed request: %s", refusal.reason)
            response: HttpResponse = JsonResponse(
                # The time lets a site with a wrong clock report it.
                {"error": refusal.answer or refusal.reason, "time": time.time()},
                status=401,
                headers={"WWW-Authenticate": "SSO"},
            )
        except StoreUnavailable as error:
            logger.error("A signed request could not be checked for a replay: %s", error)  # noqa: TRY400
            response = JsonResponse({"error": error.reason}, status=503, headers={"Retry-After": "5"})
        else:
            response = view(request, signed.site)
            payload = answer_payload(signed.nonce, response.content)
            response.headers["SSO-Signature"] = answer_header(*sign_detached(payload))
        response.headers["Cache-Control"] = "no-store"
        return response

    return answer
