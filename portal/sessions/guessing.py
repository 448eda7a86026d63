"""Limits how often a password can be guessed: by account, wherever the password is tried.

Strangers who guess an account's password use up the account's limit. They do not lock its user out: a browser
or a network address from which the user has signed in before has a limit of its own.
"""

from __future__ import annotations

import uuid

from django.db.models import Q
from django.http import HttpRequest

from portal.accounts import lookup

from .engine import SessionStore
from .models import Session
from .visitors import client_ip


def limit_key(request: HttpRequest, login: str) -> str:
    """Return the name of the limit for an attempt.

    It takes the same queries for an unknown account, so that the time does not tell.
    """
    user = lookup.by_login(login)
    place = known_place(request, uuid.uuid4() if user is None else user.pk)
    return f"unknown:{login.casefold()}" if user is None else f"account:{user.pk}:{place}"


def known_place(request: HttpRequest, sub: uuid.UUID) -> str:
    """Return from where a user has signed in before, if this request comes from there: the sid of a session
    of this browser, or the network address. Else ""."""
    session = request.session
    token = session.portal_token if isinstance(session, SessionStore) else None
    ip = client_ip(request)
    is_known = Q(pk__in=[]) if ip is None else Q(ip=ip)
    if token is not None:
        is_known |= Q(sid=token.sid, portal_bind=token.bind)
    sids = Session.objects.filter(is_known, user=sub).values_list("sid", flat=True)
    if token is not None and token.sid in sids:
        return token.sid
    return str(ip) if sids else ""
