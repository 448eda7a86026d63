"""The portal's own pages: the home page, one's account, and the pages for what went wrong.

Signing in, passwords and e-mail addresses are allauth's.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import get_user_model, logout
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from portal import audit
from portal.accounts.services import sign_out_everywhere
from portal.registry.services import tiles_for
from portal.sessions import services
from portal.sessions.models import EndReason, Session
from portal.sessions.visitors import client_ip
from sso_common.tokens import is_sid


def display_name(user: Any) -> str:
    """How pages and e-mails address a user."""
    return user.get_full_name() or user.username


@never_cache
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """The sites that a person may open; for everybody else, the way in."""
    if not request.user.is_authenticated:
        return render(request, "welcome.html")
    return render(request, "home.html", {"tiles": tiles_for(request.user)})


class NameForm(forms.ModelForm):
    """What a person may change about themselves at once; e-mail and password have pages of their own."""

    class Meta:
        model = get_user_model()
        fields = ["first_name", "last_name"]
        labels = {"first_name": gettext_lazy("First name"), "last_name": gettext_lazy("Last name")}
        widgets = {
            "first_name": forms.TextInput(attrs={"autocomplete": "given-name"}),
            "last_name": forms.TextInput(attrs={"autocomplete": "family-name"}),
        }


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def account(request: HttpRequest) -> HttpResponse:
    """One's name, and where one is signed in."""
    # A copy: a form fills in its instance even where it turns out to be invalid.
    user = get_user_model().objects.get(pk=request.user.pk)
    form = NameForm(request.POST or None, instance=user)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, _("Your name is changed, here and on every site."))
        return redirect("account")
    current = request.session.identity
    sessions = services.live_sessions(request.user, current.sid if current else None)
    return render(request, "account.html", {"form": form, "sessions": sessions})


@login_required
@require_POST
def end_session(request: HttpRequest) -> HttpResponse:
    """End one of one's own sessions; the current one is signed out."""
    current = request.session.identity
    if current is not None and current.sid == request.POST.get("sid"):
        logout(request)
        return redirect("signed_out")
    sid = request.POST.get("sid", "")
    if not is_sid(sid):  # PostgreSQL refuses a NUL
        raise Http404
    row = get_object_or_404(Session, sid=sid, user=request.user)
    services.end_session(row.sid, EndReason.REVOKED)
    audit.record(
        "session_ended", sub=request.user.pk, actor=request.user.pk, sid=row.sid, ip=client_ip(request)
    )
    messages.success(request, _("Signed out on %(device)s.") % {"device": row.device})
    return HttpResponseRedirect(f"{reverse('account')}#sessions")


@login_required
@require_POST
def end_all_sessions(request: HttpRequest) -> HttpResponse:
    """Sign out everywhere, here included."""
    user = request.user
    audit.record("session_ended", sub=user.pk, actor=user.pk, ip=client_ip(request), detail="all sessions")
    sign_out_everywhere(get_user_model().objects.get(pk=user.pk))
    logout(request)
    return redirect("signed_out")


# --- what went wrong: rendered without a request, whose session may be what failed ---------------


def bad_request(_request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """400"""
    return _problem("400.html", 400)


def forbidden(_request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """403"""
    return _problem("403.html", 403)


def csrf_failure(_request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 for a form without a valid token, most often one that was open for very long."""
    return _problem("403_csrf.html", 403)


def not_found(_request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """404"""
    return _problem("404.html", 404)


def server_error(_request: HttpRequest) -> HttpResponse:
    """500"""
    return _problem("500.html", 500)


def _problem(template: str, status: int) -> HttpResponse:
    return HttpResponse(render_to_string(template), status=status)
