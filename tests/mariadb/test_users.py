from tests.sso_common.test_users import *  # noqa: F403
