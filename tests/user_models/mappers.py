"""A mapper that sets the key, too."""

from typing import Any

from sso_common.snapshot import UserSnapshot
from sso_common.users import UserMapper


class SubjectIsKey(UserMapper):
    """For a model whose key is the subject."""

    def fields(self, snapshot: UserSnapshot) -> dict[str, Any]:
        return {**super().fields(snapshot), "sub": snapshot.sub}
