from tests.sso_common.test_local_logins import *  # noqa: F403
