"""The configuration that decides what a snapshot becomes at this site: roles, groups and the mapper.

Each account names the mapping that its user was last written with. If it is not that of this process, the
user is written again: at the next visit, and when ``sso_sync`` starts.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import time
from collections.abc import Iterable
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.core.signals import setting_changed
from django.db import transaction
from django.dispatch import receiver

from sso_common import conf
from sso_common.models import Account, Mapping

from .groups import role_groups
from .mapper import UserMapper, mapped_names
from .roles import withdrawn_values

#: Seconds for which an account keeps its mapping. During a deployment, processes with two configurations
#: serve the same users: each user is written at most once in this time because of it.
PAUSE: Final = 60

SETTINGS: Final = {"SSO_STAFF_ROLES", "SSO_ROLE_GROUPS", "SSO_USER_MAPPER"}


@functools.lru_cache(maxsize=1)
def current_mapping() -> Mapping:
    """Return the mapping of this process, unsaved. Settings do not change while a process runs."""
    model, mapper = get_user_model(), conf.user_mapper()()
    withdrawn = withdrawn_values(mapper, model)
    parts = [
        sorted(conf.staff_roles()),
        sorted(conf.role_groups().items()),
        describe(type(mapper)),
        sorted(mapped_names(mapper)),
        sorted(withdrawn),
    ]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return Mapping(
        fingerprint=digest[:16],
        groups=sorted(set(role_groups().values())),
        withdrawn={name: value for name, value in withdrawn.items() if isinstance(value, bool | int | str)},
    )


@receiver(setting_changed, dispatch_uid="sso_common.mapping")
def forget_mapping(*, setting: str, **kwargs: Any) -> None:
    """Determine the mapping again after a test has changed a setting."""
    if setting in SETTINGS:
        current_mapping.cache_clear()


def describe(mapper: type[UserMapper]) -> list[Any]:
    """Return the classes of a mapper with their versions and, for those of the site, their source."""
    return [
        [f"{each.__module__}.{each.__qualname__}", vars(each).get("version"), source_of(each)]
        for each in mapper.__mro__
        if each is not object
    ]


def source_of(mapper: type) -> str:
    """Return the source of a class, or nothing where there is none. The ``version`` of ``UserMapper``
    stands for its source: an upgrade of this package must not write all users again."""
    if mapper is UserMapper:
        return ""
    try:
        return inspect.getsource(mapper)
    except (OSError, TypeError):
        return ""


def is_mapped_anew(account: Account) -> bool:
    """Whether the next visit has to write a user again, because the mapping has changed."""
    is_current = account.mapping == current_mapping().fingerprint
    return not is_current and abs(time.time() - account.mapped_at) >= PAUSE


def stored_mappings(fingerprints: Iterable[str], using: str) -> dict[str, Mapping]:
    """Return the mappings with these fingerprints, and let the current one be stored.

    That is done after the commit: while a view holds its transaction open (``ATOMIC_REQUESTS``), all others
    that store the same row would wait for it.
    """
    current = current_mapping()
    found = Mapping._default_manager.using(using).in_bulk({*fingerprints, current.fingerprint})
    if current.fingerprint not in found:
        transaction.on_commit(functools.partial(store_mapping, current, using), using=using, robust=True)
    return found


def store_mapping(mapping: Mapping, using: str) -> None:
    """Store a mapping, unless another process has."""
    Mapping._default_manager.using(using).bulk_create([mapping], ignore_conflicts=True)
