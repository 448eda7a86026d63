"""The DSNs of the sites."""

from __future__ import annotations

from django.conf import settings

from portal.keys import keyring
from sso_common import conf
from sso_common.dsn import Dsn

from .models import Site


def dsn_for(name: str) -> Dsn:
    """Return the DSN to configure a site with. Raises ``LookupError`` for an unknown site."""
    site = Site.objects.filter(name=name).first()
    if site is None:
        raise LookupError(f"There is no site named {name!r}.")
    ring, own = keyring(), conf.dsn()
    return Dsn(
        portal_url=own.portal_url,
        site=name,
        secrets=tuple(keys.secret for keys in ring.site_keys(name, site.generations)),
        domain=own.domain,
        redis_url=settings.SSO_SITE_REDIS_URL,
        public_keys=ring.public_keys,
        namespace=own.namespace,
    )
