"""Checks of how a signed-in user becomes a user of this site: backend, admin, user model."""

from __future__ import annotations

from collections.abc import Iterator

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend

from sso_common import conf
from sso_common.backends import SSOBackend
from sso_common.users import UserMapper, empty_fields, unmapped_fields

from .imports import imported_class
from .keys import is_portal
from .messages import Messages, check, error, warning


@check
def check_backends() -> Messages:
    """Users who sign in at the portal are recognized, and have no other password."""
    if not any(issubclass(imported_class(path), SSOBackend) for path in settings.AUTHENTICATION_BACKENDS):
        yield error(
            "E008",
            "AUTHENTICATION_BACKENDS has no SSOBackend: users who are signed in are not recognized here.",
            'Write in the settings: AUTHENTICATION_BACKENDS = ["sso_common.backends.SSOBackend", '
            '"django.contrib.auth.backends.ModelBackend"]',
        )
    yield from password_backends_above_ours()
    if apps.is_installed("django.contrib.admin") and not is_portal():
        for name, admin_class in unprotected_admins():
            yield warning(
                "W025",
                f"{name} lets staff change names and addresses of users, which the portal decides: the next "
                "change at the portal, or sso_sync --full, undoes it.",
                f"from sso_common.user_admin import SSOUserAdminMixin; then write: "
                f"class {admin_class}(SSOUserAdminMixin, ...)",
            )


def password_backends_above_ours() -> Messages:
    """Report backends that accept a password before ``SSOBackend`` can refuse it."""
    paths = settings.AUTHENTICATION_BACKENDS
    ours = [path for path in paths if issubclass(imported_class(path), SSOBackend)]
    for path in paths[: paths.index(ours[0])] if ours else ():
        if issubclass(imported_class(path), ModelBackend):
            yield warning(
                "W013",
                f"In AUTHENTICATION_BACKENDS, {path} comes before SSOBackend: it accepts passwords of this "
                "site from users who sign in at the portal.",
                f'Move "{ours[0]}" up, above "{path}".',
            )


@check
def check_user_model() -> Messages:
    """Every user of the portal can be stored in this site's user model."""
    path = getattr(settings, "SSO_USER_MAPPER", conf.SETTINGS["SSO_USER_MAPPER"][0])
    mapper = imported_class(path)
    if is_portal() or not issubclass(mapper, UserMapper):  # E013 reports a path that names nothing
        return
    model = get_user_model()
    for name in unmapped_fields(model, mapper()):
        yield error(
            "E026",
            f"{model._meta.label}.{name} must have a value, and nothing provides one: "
            "users of the portal cannot be stored here.",
            f"Give {name} a default or null=True, or set it in your own mapper: "
            'SSO_USER_MAPPER = "path.to.YourUserMapper" (site_b/mapping.py is an example)',
        )
    for name in empty_fields(model, mapper()):
        yield warning(
            "W020",
            f"{model._meta.label}.{name} must not be blank, and nothing provides a value: it stays empty for "
            "users of the portal.",
            f'Set it in your own mapper: SSO_USER_MAPPER = "path.to.YourUserMapper", whose fields() adds '
            f'"{name}": snapshot.display_name, for example (site_b/mapping.py). Or give {name} a default or '
            "blank=True.",
        )


def unprotected_admins() -> Iterator[tuple[str, str]]:
    """Yield path and name of each admin class of the user model without ``SSOUserAdminMixin``."""
    from django.contrib.admin.sites import all_sites

    from sso_common.user_admin import SSOUserAdminMixin

    for site in all_sites:
        for model, model_admin in site._registry.items():
            if issubclass(model, get_user_model()) and not isinstance(model_admin, SSOUserAdminMixin):
                kind = type(model_admin)
                yield f"{kind.__module__}.{kind.__name__}", kind.__name__
