from tests.sso_common.test_link import *  # noqa: F403
