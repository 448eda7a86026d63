"""Access to a site is decided in one place, in one order."""

from __future__ import annotations

from typing import Any

import pytest

from sso_common import testing, tokens
from sso_common.admission import require_admission, require_current
from sso_common.exceptions import NotAdmitted, SessionRevoked, SSOError, UserInactive
from sso_common.identity import Identity


def identity(**fields: Any) -> Identity:
    return testing.make_identity(tokens.mint_token(), "ada", sites={"site_a": []}, **fields)


def test_active_user_of_the_site_is_admitted() -> None:
    require_admission(identity(auth_time=7, not_before=7), "site_a")


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"is_active": False, "auth_time": 6, "not_before": 7}, UserInactive),
        ({"auth_time": 6, "not_before": 7}, SessionRevoked),
        ({}, NotAdmitted),
    ],
)
def test_first_reason_is_raised_and_names_the_subject(fields: dict[str, Any], error: type[SSOError]) -> None:
    refused = identity(**fields)

    with pytest.raises(error, match=str(refused.sub)):
        require_admission(refused, "site_b")


@pytest.mark.parametrize(
    ("is_active", "not_before", "error"), [(False, 8, UserInactive), (True, 8, SessionRevoked)]
)
def test_database_overrules_an_older_record(is_active: bool, not_before: int, error: type[SSOError]) -> None:
    with pytest.raises(error):
        require_current(identity(auth_time=7), is_active=is_active, not_before=not_before)
