from tests.sso_common.test_sync import *  # noqa: F403
