"""The ASGI application: ``site_b.asgi:application``."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_b.settings")

application = get_asgi_application()
