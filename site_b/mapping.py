"""Maps the portal's users to this site's own user model (``SSO_USER_MAPPER``)."""

from typing import Any

from sso_common.snapshot import UserSnapshot
from sso_common.users import UserMapper


class ShopUserMapper(UserMapper):
    """Fills the usual fields, and ``name`` from the first and the last name."""

    def fields(self, snapshot: UserSnapshot) -> dict[str, Any]:
        return {
            **super().fields(snapshot),
            "name": f"{snapshot.first_name} {snapshot.last_name}".strip(),
        }
