"""The signals of the registry. Models and querysets send them; this and other apps receive them."""

from __future__ import annotations

from django.db import transaction
from django.dispatch import Signal

#: Sent in the transaction. Argument: ``grants``, which were created, changed or deleted.
grants_changed = Signal()

#: Sent in the transaction. Argument: ``site``, which is open to other users now.
access_changed = Signal()

#: Sent without arguments, in the transaction and after its commit: every identity record may have to
#: name other sites now.
sites_changing = Signal()
sites_changed = Signal()


def send_sites_changed() -> None:
    """Send ``sites_changing`` now and ``sites_changed`` after the commit."""
    sites_changing.send(sender=None)
    transaction.on_commit(lambda: sites_changed.send(sender=None), robust=True)
