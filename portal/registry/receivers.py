"""Follows changes of sites, roles and grants: new versions for the users concerned, and the audit log.

New versions make the feed and the re-signing of live sessions follow. They are allocated in the
transaction of the change.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models.signals import post_delete, post_save, pre_save
from django.dispatch import receiver

from portal.accounts import versions
from portal.audit import services as audit

from .announcements import access_changed, grants_changed, send_sites_changed
from .models import RULES, Access, FormerSite, Grant, Role, Site, SiteVisibility


@receiver(grants_changed, dispatch_uid="registry.grants_changed")
def renew_holders(grants: Iterable[Grant], **_: Any) -> None:
    """Give the holders of grants new versions, and record which sites have seen them."""
    grants = list(grants)
    if not grants:
        return
    sites = dict(Role.objects.filter(pk__in={grant.role_id for grant in grants}).values_list("pk", "site_id"))
    # A cascade may have deleted the role and its site. Then there is no site to tell.
    pairs = {(sites[grant.role_id], grant.user_id) for grant in grants if grant.role_id in sites}
    SiteVisibility.objects.bulk_create(
        [SiteVisibility(site_id=site, sub=sub) for site, sub in pairs], ignore_conflicts=True
    )
    versions.assign_new_versions({grant.user_id for grant in grants})


@receiver(access_changed, dispatch_uid="registry.access_changed")
def renew_everyone(site: Site, **_: Any) -> None:
    """Give all users new versions, because the site has to learn of all of them again."""
    subs = list(get_user_model().objects.values_list("pk", flat=True))
    if site.access == Access.MEMBERS:
        # While the site was open to everyone, it has seen all of these. It must now see them go.
        seen = [*subs, *versions.Tombstone.objects.values_list("pk", flat=True)]
        SiteVisibility.objects.bulk_create(
            [SiteVisibility(site=site, sub=sub) for sub in seen], ignore_conflicts=True, batch_size=1000
        )
    versions.assign_new_versions(subs)


@receiver(pre_save, sender=Grant, dispatch_uid="registry.grant_saving")
def remember_grant(instance: Any, raw: bool, **_: Any) -> None:
    # A grant that is moved to another user also concerns its former holder.
    instance._before = [] if raw or not instance.pk else list(Grant.objects.filter(pk=instance.pk))


@receiver(post_save, sender=Grant, dispatch_uid="registry.grant_saved")
def follow_grant(instance: Any, created: bool, **_: Any) -> None:
    grants_changed.send(sender=Grant, grants=[*instance._before, instance])
    if created:
        record_grant("role_given", instance, instance.role)


@receiver(post_delete, sender=Grant, dispatch_uid="registry.grant_deleted")
def follow_deleted_grant(instance: Grant, **_: Any) -> None:
    grants_changed.send(sender=Grant, grants=[instance])
    # In a cascade, the role may already be deleted.
    role = Role.objects.filter(pk=instance.role_id).select_related("site").first()
    record_grant("role_taken", instance, role)


def record_grant(kind: str, grant: Grant, role: Role | None) -> None:
    """Add an event about a grant to the audit log."""
    site, detail = (role.site.name, role.name) if role else ("", "")
    audit.record(kind, sub=grant.user_id, actor=audit.current_actor(), site=site, detail=detail)


@receiver(post_save, sender=Role, dispatch_uid="registry.role_saved")
def follow_role(instance: Role, created: bool, **_: Any) -> None:
    if not created:
        grants_changed.send(sender=Role, grants=instance.grants.all())


@receiver(pre_save, sender=Site, dispatch_uid="registry.site_saving")
def remember_rules(instance: Any, **_: Any) -> None:
    instance._rules_before = Site.objects.filter(pk=instance.pk).values(*RULES).first()


@receiver(post_save, sender=Site, dispatch_uid="registry.site_saved")
def follow_site(instance: Any, created: bool, **_: Any) -> None:
    before = instance._rules_before
    after = {name: getattr(instance, name) for name in RULES}
    if before != after:
        if before is not None and before["access"] != after["access"]:
            access_changed.send(sender=Site, site=instance)
        send_sites_changed()
    detail = f"{instance.origin}, {instance.access}, {'active' if instance.is_active else 'not active'}"
    kind = "site_added" if created else "site_changed"
    audit.record(kind, actor=audit.current_actor(), site=instance.name, detail=detail)


@receiver(post_delete, sender=Site, dispatch_uid="registry.site_deleted")
def follow_deleted_site(instance: Site, **_: Any) -> None:
    FormerSite.objects.update_or_create(name=instance.name, defaults={"generation": instance.generation})
    send_sites_changed()
    audit.record("site_removed", actor=audit.current_actor(), site=instance.name)
