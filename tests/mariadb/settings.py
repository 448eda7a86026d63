"""The plain site with MariaDB. ``conftest.py`` starts the server and sets the port."""

from tests.settings import *  # noqa: F403

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.mysql",
        "HOST": "127.0.0.1",
        "USER": "root",
        "NAME": "site",
    }
}
