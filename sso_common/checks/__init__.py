"""System checks that report a wrong configuration before anyone signs in.

Each check reads the settings and yields messages with the ids ``sso.E0xx`` (errors) and ``sso.W0xx``
(warnings). docs/checks.md lists them. Importing this package registers the checks with Django; the
app's ``ready`` does that. ``sso_doctor`` runs the same checks by their names.
"""

from __future__ import annotations

from typing import Final

from django.core.checks import Tags, register

from sso_common.keys import PORTAL

from .addresses import check_domain, check_internal_url, check_proxy, check_urls
from .cache import check_cache
from .cookies import check_cookies, check_csrf
from .database import check_database
from .keys import check_dsn, check_keys
from .messages import Check
from .middleware import check_middleware
from .pages import check_pages
from .replacements import check_replacements
from .roles import check_roles
from .sessions import check_engine, check_serializer
from .settings import check_settings
from .users import check_backends, check_user_model

__all__ = ["CHECKS", "PORTAL", "TAG", "check_dsn"]

TAG: Final = "sso"

#: The checks by name, in the order in which ``sso_doctor`` shows them.
CHECKS: Final[dict[str, Check]] = {
    "dsn": check_dsn,
    "keys": check_keys,
    "middleware": check_middleware,
    "replacements": check_replacements,
    "backends": check_backends,
    "engine": check_engine,
    "serializer": check_serializer,
    "cookies": check_cookies,
    "csrf": check_csrf,
    "cache": check_cache,
    "urls": check_urls,
    "pages": check_pages,
    "domain": check_domain,
    "internal-url": check_internal_url,
    "settings": check_settings,
    "user-model": check_user_model,
    "database": check_database,
    "roles": check_roles,
    "proxy": check_proxy,
}

for each in CHECKS.values():
    register(each, TAG, Tags.security, deploy=each is check_proxy)
