"""This site's own user model, with an integer key and a single name."""

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class CustomerManager(BaseUserManager["Customer"]):
    """Creates local customers. ``sso_common`` creates those with an account at the portal."""

    def create_user(
        self, username: str, email: str = "", password: str | None = None, **extra: object
    ) -> "Customer":
        """Create a local customer. Without a password, a customer cannot sign in locally."""
        customer = self.model(username=username, email=self.normalize_email(email), **extra)
        customer.set_password(password)
        customer.save(using=self._db)
        return customer


class Customer(AbstractBaseUser):
    """A user of this site."""

    username = models.CharField(_("username"), max_length=150, unique=True)
    email = models.EmailField(_("email address"), blank=True)
    name = models.CharField(_("name"), max_length=300, blank=True)
    is_active = models.BooleanField(_("active"), default=True)
    joined_at = models.DateTimeField(_("first seen"), default=timezone.now)

    objects = CustomerManager()

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS = ["email"]

    class Meta:
        verbose_name = _("customer")
        verbose_name_plural = _("customers")

    def __str__(self) -> str:
        return self.display_name

    @property
    def display_name(self) -> str:
        """The name, or the username if there is none."""
        return self.name or self.username

    @property
    def initials(self) -> str:
        """The initials of the first and the last word of the name."""
        words = self.display_name.replace("_", " ").replace(".", " ").split() or ["?"]
        return (words[0][0] + (words[-1][0] if len(words) > 1 else "")).upper()
