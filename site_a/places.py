"""Context processor for the links to the portal and the other sites at the top of each page.

It uses neither the session nor the user, so that pages without them cost no round trip.
"""

from django.conf import settings
from django.http import HttpRequest

from sso_common import conf


def places(request: HttpRequest) -> dict[str, object]:
    """Return ``portal_url``, and ``places`` as pairs of a name and an address."""
    return {"portal_url": conf.dsn().portal_url, "places": settings.PLACES}
