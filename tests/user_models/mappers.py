"""A mapper that also sets the primary key."""

from typing import Any

from sso_common.snapshot import UserSnapshot
from sso_common.users import UserMapper


class SubjectIsKey(UserMapper):
    """For a model whose primary key is the subject."""

    def fields(self, snapshot: UserSnapshot) -> dict[str, Any]:
        return {**super().fields(snapshot), "sub": snapshot.sub}


class DisplayName(UserMapper):
    """For a model with one ``name``."""

    def fields(self, snapshot: UserSnapshot) -> dict[str, Any]:
        return {**super().fields(snapshot), "name": snapshot.display_name}
