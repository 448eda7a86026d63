"""Which data of an anonymous session moves into the signed-in one: a cart, for example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY

#: Of a local login: the ``sid`` of the older session that it prevails over, when it began (seconds since
#: the epoch), and whether it is one for emergencies.
OVERRIDDEN_SID: Final = "_sso_overridden_sid"
LOCAL_SINCE: Final = "_sso_local_since"
EMERGENCY: Final = "_sso_emergency"

#: Never adopted. An attacker who planted an anonymous session must not be able to choose a local login,
#: the CSRF secret, or the expiry of the session that adopts it.
NEVER_ADOPTED: Final = frozenset(
    {SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY, OVERRIDDEN_SID, LOCAL_SINCE, EMERGENCY}
    | {"_csrftoken", "_session_expiry"}
)


def adopt(anonymous: dict[str, Any], signed_in: dict[str, Any]) -> dict[str, Any]:
    """Return the anonymous data to add to a signed-in session: here, all keys that it does not have.

    This is the default of ``SSO_ADOPT_SESSION``. A function of your own has the same arguments:

    >>> def adopt_cart_only(anonymous, signed_in):
    ...     return {"cart": anonymous["cart"]} if "cart" in anonymous else {}
    >>> adopt_cart_only({"cart": ["mug"], "seen": 3}, {"theme": "dark"})
    {'cart': ['mug']}
    """
    return {name: value for name, value in anonymous.items() if name not in signed_in}


def adoptable(data: Mapping[str, Any]) -> dict[str, Any]:
    """Session data without the keys that are never adopted."""
    return {name: value for name, value in data.items() if name not in NEVER_ADOPTED}
