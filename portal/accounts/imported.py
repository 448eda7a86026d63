"""Which users of a site were imported as which accounts."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _


class ImportedAccount(models.Model):
    """A user of a site before single sign-on, and the account that this user became.

    It makes an import repeatable, and is where the pairs for ``sso_link`` come from.
    """

    site = models.CharField(_("site"), max_length=32)
    #: The primary key at the site, as text.
    key = models.CharField(_("key at the site"), max_length=254)
    sub: models.UUIDField[uuid.UUID, uuid.UUID] = models.UUIDField(_("subject"))

    class Meta:
        verbose_name = _("imported account")
        verbose_name_plural = _("imported accounts")
        constraints = [
            models.UniqueConstraint(fields=["site", "key"], name="one_import_per_site_and_key"),
            models.UniqueConstraint(fields=["site", "sub"], name="one_import_per_site_and_sub"),
        ]

    def __str__(self) -> str:
        return f"{self.site} {self.key}: {self.sub}"
