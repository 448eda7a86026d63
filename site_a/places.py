"""Template context: the addresses of the family's other places, for the bar at the top.

In: the DSN and ``settings.PLACES``. It looks neither at the session nor at the user.
"""

from django.conf import settings
from django.http import HttpRequest

from sso_common import conf


def places(request: HttpRequest) -> dict[str, object]:
    """``portal_url``, and ``places`` as pairs of name and address."""
    return {"portal_url": conf.portal_url(), "places": settings.PLACES}
