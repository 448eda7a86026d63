"""What is written down by itself: changes of accounts, roles and sites.

In: model signals, and ``account_changed``, which accounts sends for ``QuerySet.update`` and
``bulk_update``, too. Out: events, in the transaction of the change. Not written down: sites and grants
written by ``QuerySet.update``, ``bulk_update`` or ``bulk_create``, for which Django sends no signal; users
written by ``bulk_create`` or ``loaddata``; and what is done in SQL. The portal's own code does none of these.
"""

from __future__ import annotations

import uuid
from typing import Any

from allauth.account.signals import password_changed, password_reset, password_set
from django.contrib.auth.signals import user_login_failed
from django.db.models.signals import post_delete, post_save

from .services import record


def connect() -> None:
    """Called once, when the app is ready."""
    from portal.accounts.models import User
    from portal.accounts.signals import account_changed
    from portal.registry.models import Grant, Site

    post_save.connect(_grant_saved, sender=Grant, dispatch_uid="audit.grant_saved")
    post_delete.connect(_grant_deleted, sender=Grant, dispatch_uid="audit.grant_deleted")
    post_save.connect(_site_saved, sender=Site, dispatch_uid="audit.site_saved")
    post_delete.connect(_site_deleted, sender=Site, dispatch_uid="audit.site_deleted")
    account_changed.connect(_account_changed, dispatch_uid="audit.account_changed")
    post_delete.connect(_user_deleted, sender=User, dispatch_uid="audit.user_deleted")
    user_login_failed.connect(_sign_in_failed, dispatch_uid="audit.sign_in_failed")
    for signal in (password_changed, password_reset, password_set):
        signal.connect(_password_changed, dispatch_uid="audit.password_changed")


def _actor() -> Any:
    """Who is signed in at the portal in the request that is being answered, if there is one."""
    from allauth.core import context

    user = getattr(context.request, "user", None)
    return user.pk if user is not None and user.is_authenticated else None


def _account_changed(sub: uuid.UUID, after: dict[str, Any], **_: Any) -> None:
    actor = _actor()
    if "is_active" in after:
        record("activated" if after["is_active"] else "deactivated", sub=sub, actor=actor)
    if "email" in after:
        # Which one it was is the person's own business, and not the log's for a year.
        record("email_changed", sub=sub, actor=actor)
    names = {"is_staff": "staff", "is_superuser": "superuser"}
    rights = [f"{names[each]}: {'yes' if after[each] else 'no'}" for each in names if each in after]
    if rights:
        record("rights_changed", sub=sub, actor=actor, detail=", ".join(rights))


def _user_deleted(instance: Any, **_: Any) -> None:
    record("deleted", sub=instance.pk, actor=_actor())


def _grant_saved(instance: Any, created: bool, **_: Any) -> None:
    if created:
        role = instance.role
        record("role_given", sub=instance.user_id, actor=_actor(), site=role.site.name, detail=role.name)


def _grant_deleted(instance: Any, **_: Any) -> None:
    from portal.registry.models import Role

    # In a cascade the role may be gone already.
    role = Role.objects.filter(pk=instance.role_id).select_related("site").first()
    record(
        "role_taken",
        sub=instance.user_id,
        actor=_actor(),
        site=role.site.name if role else "",
        detail=role.name if role else "",
    )


def _site_saved(instance: Any, created: bool, **_: Any) -> None:
    detail = f"{instance.origin}, {instance.access}, {'active' if instance.is_active else 'not active'}"
    record("site_added" if created else "site_changed", actor=_actor(), site=instance.name, detail=detail)


def _site_deleted(instance: Any, **_: Any) -> None:
    record("site_removed", actor=_actor(), site=instance.name)


def _sign_in_failed(credentials: dict[str, Any], request: Any = None, **_: Any) -> None:
    from portal.sessions.visitors import client_ip

    # What was typed as a name may be a password by mistake: only say whose account it was, if anybody's.
    record("sign_in_failed", sub=_subject(credentials), ip=client_ip(request) if request else None)


def _subject(credentials: dict[str, Any]) -> Any:
    from django.contrib.auth import get_user_model
    from django.db.models import Q

    typed = str(credentials.get("username") or credentials.get("email") or "")
    if not typed:
        return None
    found = get_user_model().objects.filter(Q(username__iexact=typed) | Q(email__iexact=typed)).first()
    return found.pk if found else None


def _password_changed(user: Any, **_: Any) -> None:
    record("password_changed", sub=user.pk, actor=_actor())
