"""Filters and tags for the portal's templates."""

from __future__ import annotations

from typing import Any, Final

from django import template
from django.conf import settings
from django.forms import BoundField
from django.http import HttpRequest

from portal.registry.destinations import site_at
from portal.registry.models import Site

register = template.Library()

#: Colours in ``portal.css``: tint-0, tint-1, …
TINTS: Final = 6


@register.filter
def initials(user: Any) -> str:
    """Return one or two letters for the round badge."""
    words = user.display_name.split()
    letters = words[0][:1] + (words[-1][:1] if len(words) > 1 else "")
    return letters.upper()


@register.filter
def without_placeholder(field: BoundField) -> BoundField:
    """Remove a field's placeholder, which repeats the label."""
    field.field.widget.attrs.pop("placeholder", None)
    return field


@register.filter
def host(origin: str) -> str:
    """Remove the scheme from an origin."""
    return origin.partition("://")[2]


@register.filter
def tint(pk: int) -> int:
    """Return the number of a site's colour, which stays the same when sites come and go."""
    return pk % TINTS


@register.simple_tag
def destination(request: HttpRequest) -> Site | None:
    """Return the site that the visitor returns to after signing in, or None."""
    return site_at(request.POST.get("next") or request.GET.get("next"))


@register.simple_tag
def signup_is_open() -> bool:
    """Return whether people can create accounts themselves."""
    return bool(settings.SSO_OPEN_SIGNUP)
