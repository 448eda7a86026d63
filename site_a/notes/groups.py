"""The groups of this site and their permissions.

The portal's roles put users into the groups (``SSO_ROLE_GROUPS``). This site decides what a group
can do.
"""

from typing import Any

from django.contrib.auth.models import Group, Permission
from django.db.models import Q

GROUPS = {
    "Editors": ["notes.curate_note"],
    "Staff": [
        "notes.curate_note",
        "notes.view_note",
        "notes.change_note",
        "notes.delete_note",
        "auth.view_user",
    ],
}


def ensure_groups(using: str = "default", **_kwargs: Any) -> None:
    """Create missing groups and add missing permissions. Runs after each ``migrate``."""
    for name, permissions in GROUPS.items():
        group, _created = Group.objects.using(using).get_or_create(name=name)
        wanted = Q()
        for permission in permissions:
            app_label, codename = permission.split(".")
            wanted |= Q(content_type__app_label=app_label, codename=codename)
        group.permissions.add(*Permission.objects.using(using).filter(wanted))
