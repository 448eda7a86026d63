"""``{% load sso %}``: links to the portal's pages."""

from __future__ import annotations

from typing import Any

from django import template

from sso_common import conf, pages
from sso_common.addresses import portal_address

register = template.Library()


@register.simple_tag(takes_context=True)
def portal_url(context: Any, page: str = "") -> str:
    """The address of a page of the portal that leads back to the current page.

    ``page`` is one of ``pages.PORTAL_PAGES``; without it, the portal's home page::

        <a href="{% portal_url 'password' %}">Change your password</a>
    """
    if not page:
        return f"{conf.dsn().portal_url}/"
    if page not in pages.PORTAL_PAGES:
        known = ", ".join(pages.PORTAL_PAGES)
        raise template.TemplateSyntaxError(f"portal_url: {page!r} is none of {known}.")
    request = context.get("request")
    back = "" if request is None else request.build_absolute_uri()
    return portal_address(f"page/{page}", back)
