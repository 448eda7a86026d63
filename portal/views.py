"""The home page and the account page. Pages for sign-in, passwords and email addresses are allauth's."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.contrib.auth import get_user_model, logout
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from portal.accounts.services import sign_out_everywhere
from portal.audit import services as audit
from portal.registry.access import tiles_for
from portal.sessions import ending
from portal.sessions.listing import live_sessions
from portal.sessions.models import EndReason, Session
from portal.sessions.visitors import client_ip
from sso_common.http import SSORequest
from sso_common.tokens import is_sid


@never_cache
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """The sites that the user has access to, or a welcome page for visitors."""
    if not request.user.is_authenticated:
        return render(request, "welcome.html")
    return render(request, "home.html", {"tiles": tiles_for(request.user)})


class NameForm(forms.ModelForm):
    """What users can change without confirmation. Email address and password have pages of their own."""

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
def account(request: SSORequest) -> HttpResponse:
    """The user's name, and their sessions."""
    # A copy, because the form changes its instance even if the input is invalid.
    user = get_user_model().objects.get(pk=request.user.pk)
    form = NameForm(request.POST or None, instance=user)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, _("Your name has been changed on all sites."))
        return redirect("account")
    current = request.session.identity
    sessions = live_sessions(request.user, current.sid if current else None)
    return render(request, "account.html", {"form": form, "sessions": sessions})


@login_required
@require_POST
def end_session(request: SSORequest) -> HttpResponse:
    """End one of the user's sessions. For the current one, this is a sign-out."""
    current = request.session.identity
    if current is not None and current.sid == request.POST.get("sid"):
        logout(request)
        return redirect("signed_out")
    sid = request.POST.get("sid", "")
    if not is_sid(sid):  # PostgreSQL refuses a NUL
        raise Http404
    row = get_object_or_404(Session, sid=sid, user=request.user)
    ending.end_session(row.sid, EndReason.REVOKED)
    audit.record(
        "session_ended", sub=request.user.pk, actor=request.user.pk, sid=row.sid, ip=client_ip(request)
    )
    messages.success(request, _("You signed out %(device)s.") % {"device": row.device})
    return HttpResponseRedirect(f"{reverse('account')}#sessions")


@login_required
@require_POST
def end_all_sessions(request: HttpRequest) -> HttpResponse:
    """End all of the user's sessions, the current one included."""
    user = request.user
    audit.record("session_ended", sub=user.pk, actor=user.pk, ip=client_ip(request), detail="all sessions")
    sign_out_everywhere(get_user_model().objects.get(pk=user.pk))
    logout(request)
    return redirect("signed_out")
