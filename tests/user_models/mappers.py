"""Mappers of sites with other user models."""

from typing import Any

from sso_common.snapshot import UserSnapshot
from sso_common.users import UserMapper


class SubjectIsKey(UserMapper):
    """For a model whose primary key is the subject."""

    def fields(self, snapshot: UserSnapshot) -> dict[str, Any]:
        return {**super().fields(snapshot), "sub": snapshot.sub}


class AdministratorMapper(UserMapper):
    """For a model with ``is_administrator``."""

    def apply_roles(self, user: Any, roles: frozenset[str]) -> None:
        user.is_administrator = "staff" in roles


class DisplayName(UserMapper):
    """For a model with one ``name``."""

    def fields(self, snapshot: UserSnapshot) -> dict[str, Any]:
        return {**super().fields(snapshot), "name": snapshot.display_name}
