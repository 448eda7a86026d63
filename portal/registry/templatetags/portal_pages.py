"""What the portal's templates need to know of people and sites."""

from __future__ import annotations

from typing import Any

from django import template
from django.conf import settings
from django.forms import BoundField
from django.http import HttpRequest

from portal.registry.models import Site
from portal.registry.origins import origin_of

register = template.Library()


@register.filter
def display_name(user: Any) -> str:
    """The full name, or the username where no name is known."""
    return user.get_full_name() or user.username


@register.filter
def initials(user: Any) -> str:
    """One or two letters for the round badge."""
    words = display_name(user).split()
    letters = words[0][:1] + (words[-1][:1] if len(words) > 1 else "")
    return letters.upper()


@register.filter
def without_placeholder(field: BoundField) -> BoundField:
    """A field whose label says what it is, and which stays empty until something is typed."""
    field.field.widget.attrs.pop("placeholder", None)
    return field


@register.filter
def host(origin: str) -> str:
    """An origin without its scheme."""
    return origin.partition("://")[2]


@register.simple_tag
def destination(request: HttpRequest) -> Site | None:
    """The site that a visitor will go on to after signing in, or None."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    origin = origin_of(wanted)
    return Site.objects.filter(origin=origin, is_active=True).first() if origin else None


@register.simple_tag
def signup_is_open() -> bool:
    """Whether people may create accounts by themselves."""
    return bool(settings.SSO_OPEN_SIGNUP)
