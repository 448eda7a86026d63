"""What changes for people when sites, roles and grants change.

In: Django's model signals, and the calls of the querysets whose writes send none. Out: new versions
for the people concerned (``portal.accounts.versions.bump``), in the same transaction, so that the feed
and the re-signing of live sessions follow; ``sites_changed`` where every session's list of sites may be
another one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete, post_save, pre_save
from django.dispatch import Signal

#: Sent without arguments, in the transaction and after it: every identity record may name other sites now.
sites_changing = Signal()
sites_changed = Signal()

_RULES = ("is_active", "access", "name")


def connect() -> None:
    """Called once, when the app is ready."""
    from .models import Grant, Role, Site

    post_save.connect(_grant_saved, sender=Grant, dispatch_uid="registry.grant_saved")
    post_delete.connect(_grant_deleted, sender=Grant, dispatch_uid="registry.grant_deleted")
    pre_save.connect(_before_grant, sender=Grant, dispatch_uid="registry.grant_saving")
    post_save.connect(_role_saved, sender=Role, dispatch_uid="registry.role_saved")
    pre_save.connect(_before_site, sender=Site, dispatch_uid="registry.site_saving")
    post_save.connect(_site_saved, sender=Site, dispatch_uid="registry.site_saved")
    post_delete.connect(_site_deleted, sender=Site, dispatch_uid="registry.site_deleted")


def grants_changed(grants: Iterable[Any]) -> None:
    """Draw new versions for the holders of these grants, and note which site is told of whom."""
    from portal.accounts import versions

    from .models import Role, SiteVisibility

    grants = list(grants)
    if not grants:
        return
    sites = dict(Role.objects.filter(pk__in={grant.role_id for grant in grants}).values_list("pk", "site_id"))
    # A cascade may have taken the role and its site along; then nobody is left to be told.
    pairs = {(sites[grant.role_id], grant.user_id) for grant in grants if grant.role_id in sites}
    SiteVisibility.objects.bulk_create(
        [SiteVisibility(site_id=site, sub=sub) for site, sub in pairs], ignore_conflicts=True
    )
    versions.bump({grant.user_id for grant in grants})


def access_changed(site: Any) -> None:
    """A site is open to other people now: it has to hear of everybody once more."""
    from django.contrib.auth import get_user_model

    from portal.accounts import versions

    from .models import Access, SiteVisibility

    subs = list(get_user_model().objects.values_list("pk", flat=True))
    if site.access == Access.MEMBERS:
        # While it was open to everyone it has heard of all these, so it must hear that they have gone.
        heard_of = [*subs, *versions.Tombstone.objects.values_list("pk", flat=True)]
        SiteVisibility.objects.bulk_create(
            [SiteVisibility(site=site, sub=sub) for sub in heard_of], ignore_conflicts=True, batch_size=1000
        )
    versions.bump(subs)


def rules_changed() -> None:
    """Announce, once this transaction is committed, that sites came, went or changed."""
    sites_changing.send(sender=None)
    transaction.on_commit(lambda: sites_changed.send(sender=None), robust=True)


def _before_grant(instance: Any, raw: bool, **_: Any) -> None:
    from .models import Grant

    # A grant that passes to another person concerns the person who had it, too.
    instance._before = [] if raw or not instance.pk else list(Grant.objects.filter(pk=instance.pk))


def _grant_saved(instance: Any, **_: Any) -> None:
    grants_changed([*instance._before, instance])


def _grant_deleted(instance: Any, **_: Any) -> None:
    grants_changed([instance])


def _role_saved(instance: Any, created: bool, **_: Any) -> None:
    if not created:
        grants_changed(instance.grants.all())


def _before_site(instance: Any, **_: Any) -> None:
    from .models import Site

    rules = Site.objects.filter(pk=instance.pk).values(*_RULES).first()
    instance._rules_before = rules


def _site_saved(instance: Any, **_: Any) -> None:
    before = instance._rules_before
    after = {name: getattr(instance, name) for name in _RULES}
    if before == after:
        return
    if before is not None and before["access"] != after["access"]:
        access_changed(instance)
    rules_changed()


def _site_deleted(instance: Any, **_: Any) -> None:
    from .models import FormerSite

    FormerSite.objects.update_or_create(name=instance.name, defaults={"generation": instance.generation})
    rules_changed()
