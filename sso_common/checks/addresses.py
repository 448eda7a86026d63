"""Checks of addresses: the site's own, the portal's, and the domain that both share."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch, reverse

from sso_common import conf, pages, urls
from sso_common.domains import is_local, is_public_suffix, is_under, may_be_under
from sso_common.dsn import Dsn

from .keys import is_portal, valid_dsn
from .messages import Messages, check, error, warning
from .settings import are_pages_valid


@check
def check_urls() -> Messages:
    """The URLs of sso_common are included, and LOGIN_URL leads to the portal."""
    try:
        login = reverse("sso:login")
    except NoReverseMatch:
        yield error(
            "E019",
            "The URLs of sso_common are missing from the URLconf.",
            f'Write in urlpatterns of {settings.ROOT_URLCONF}: path("sso/", include("sso_common.urls"))',
        )
        return
    yield from hidden_urls()
    # At the portal, LOGIN_URL is the sign-in page itself.
    login_url = path_of(settings.LOGIN_URL)
    if not is_portal() and login_url != login and not (are_pages_valid() and is_login_page(login_url)):
        yield error(
            "E020",
            f"LOGIN_URL is {str(settings.LOGIN_URL)!r}, which does not lead to the portal.",
            'Write in the settings: LOGIN_URL = "sso:login"',
        )


def hidden_urls() -> Messages:
    """Report addresses of sso_common that another URL pattern answers."""
    for each in urls.urlpatterns:
        path = reverse(f"{urls.app_name}:{each.name}")
        match = pages.find(pages.without_script_prefix(path), settings.ROOT_URLCONF)
        if match is None or match.func is not each.callback:
            other = "no URL pattern" if match is None else f"{match.route!r} ({match.view_name})"
            yield error(
                "E032",
                f"The address {path} of sso_common leads to another page: {other} comes first.",
                f"In urlpatterns of {settings.ROOT_URLCONF}, move the line of sso_common to the top: "
                'path("sso/", include("sso_common.urls"))',
            )
            return


def is_login_page(path: str) -> bool:
    """Whether the sign-in at the portal replaces the page at a path."""
    return pages.page_at(path, settings.ROOT_URLCONF) == pages.LOGIN


def path_of(url: str) -> str:
    """Return the path of a URL or of a URL pattern's name, or an empty string."""
    try:
        return urlsplit(resolve_url(url)).path
    except NoReverseMatch:
        return ""


@check
def check_domain() -> Messages:
    """Browsers keep the SSO cookie, and send it to the portal and to this site."""
    dsn = valid_dsn()
    if dsn is None:
        return
    if is_public_suffix(dsn.domain):
        yield error(
            "E021",
            f"The parent domain is {dsn.domain!r}, a public suffix: browsers refuse a cookie for all of it.",
            "At the portal, set SSO_DOMAIN to a domain that belongs to you alone (example.com, "
            "sso.localhost). Then set SSO_DSN to what manage.py sso_site dsn prints.",
        )
    yield from wrong_portal_url(dsn)
    hosts = settings.ALLOWED_HOSTS
    if hosts and not any(may_be_under(pattern, dsn.domain) for pattern in hosts):
        example = f"{dsn.site.replace('_', '-')}.{dsn.domain}"
        yield warning(
            "W007",
            f"No host in ALLOWED_HOSTS is under the parent domain {dsn.domain}: the SSO cookie never "
            "reaches this site.",
            f'Add the host name of this site to ALLOWED_HOSTS, for example "{example}".',
        )


def wrong_portal_url(dsn: Dsn) -> Messages:
    """Report why browsers refuse the SSO cookie from the portal."""
    portal = urlsplit(dsn.portal_url)
    host = portal.hostname or ""
    if not is_under(host, dsn.domain):
        yield error(
            "E022",
            f"The portal, {host}, is not under the parent domain {dsn.domain}: browsers refuse its cookie.",
            "At the portal, make SSO_PORTAL_URL and SSO_DOMAIN agree. Then set SSO_DSN to what "
            "manage.py sso_site dsn prints.",
        )
    if portal.scheme == "http" and not is_local(host):
        yield warning(
            "W010",
            f"The portal's address is {dsn.portal_url}: browsers keep the SSO cookie only over https "
            "(or under localhost).",
            "At the portal, set SSO_PORTAL_URL to an https:// address. Then set SSO_DSN to what "
            "manage.py sso_site dsn prints.",
        )


@check
def check_internal_url() -> Messages:
    """SSO_PORTAL_INTERNAL_URL is the address of a server, or is not set."""
    if valid_dsn() is not None and not is_server(conf.portal_internal_url()):
        yield error(
            "E023",
            f"{conf.INTERNAL_URL_VARIABLE} is not the address of a server.",
            f"Set {conf.INTERNAL_URL_VARIABLE}=http://<host>:<port>, without a path, or do not set it.",
        )


def is_server(url: str) -> bool:
    """Return whether a URL has a scheme, a host, perhaps a port, and nothing else."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    is_complete = parts.scheme in {"http", "https"} and bool(parts.hostname) and port != 0
    return is_complete and not (parts.path or parts.query or parts.fragment or parts.username)


@check
def check_proxy() -> Messages:
    """Django knows when a proxy in front of it ends TLS (only with check --deploy)."""
    dsn = valid_dsn()
    if dsn is None or dsn.portal_url.startswith("http:") or settings.DEBUG:
        return
    if getattr(settings, "SECURE_PROXY_SSL_HEADER", None) is None:
        yield warning(
            "W008",
            "SECURE_PROXY_SSL_HEADER is not set: where a proxy ends TLS, this site believes that its own "
            "address is http://, and the portal refuses to send users back to it.",
            'Write in the settings: SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https"), and let '
            "the proxy always set that header. Where this server speaks TLS itself, write: "
            'SILENCED_SYSTEM_CHECKS = ["sso.W008"]',
        )
