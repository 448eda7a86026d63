"""The settings of the tests with the user model that ``TEST_USER_MODEL`` names."""

import os

import dj_database_url

from tests.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.user_models"]  # noqa: F405
AUTH_USER_MODEL = os.environ["TEST_USER_MODEL"]
SSO_USER_MAPPER = os.environ["TEST_USER_MAPPER"]
DATABASES = {"default": dj_database_url.parse(os.environ["TEST_DATABASE"])}
