"""Keys rotate without signing users out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from sso_common.dsn import parse_dsn
from tests.stories.people import EVERYWHERE, SITES, Person, Visitor
from tests.stories.shell import Shell
from tests.stories.topology import StoryTopology


def new_dsn(topology: StoryTopology, *command: str) -> str:
    return topology.manage("portal", "sso_site", *command).strip()


def test_rotating_a_sites_secret_signs_no_user_out(
    visitor: Visitor, new_person: Callable[..., Person], shell: Callable[[str], Shell]
) -> None:
    topology = visitor.topology
    visitor.sign_in(new_person())
    visitor.signed_in_at()
    old = parse_dsn(topology.dsns["site_a"])
    visitor.open("site_a", "/notes/new/")

    both = new_dsn(topology, "rotate", "site_a")
    still = visitor.page.context.new_page()
    assert visitor.is_signed_in("site_a", page=still), "Before its restart the site uses the old secret."
    topology.reconfigure("site_a", dsn=both)
    # A form that was open during the restart is still valid.
    visitor.page.get_by_label("Title").fill("Begun under the old key")
    with visitor.page.expect_navigation():
        visitor.page.get_by_role("button", name="Save note").click()
    assert "Begun under the old key" in visitor.text
    assert visitor.signed_in_at() == set(EVERYWHERE)

    one = new_dsn(topology, "rotate", "site_a", "--finish")
    topology.reconfigure("site_a", dsn=one)

    new = parse_dsn(one)
    assert visitor.signed_in_at() == set(EVERYWHERE)
    assert (len(parse_dsn(both).secrets), len(new.secrets)) == (2, 1)
    assert new.secrets[0] != old.secrets[0]
    for dsn, is_good in ((old, False), (new, True)):
        with redis.Redis.from_url(dsn.redis_login_url) as client:
            if is_good:
                assert client.ping()
            else:
                with pytest.raises(redis.exceptions.AuthenticationError):
                    client.ping()
    mia = new_person("Mia")
    topology.eventually(lambda: shell("site_a")("Account.objects.filter(sub=sub).exists()", sub=mia.sub))


def test_rotating_the_portals_signing_key_signs_no_user_out(
    visitor: Visitor, new_person: Callable[..., Person], shell: Callable[[str], Shell]
) -> None:
    topology = visitor.topology
    visitor.sign_in(new_person())
    cookie = visitor.sso_cookie
    old = topology.get("site_a", "/sso/health/").body

    def hand_out() -> None:
        dsns = shell("portal")(
            "from portal.registry.dsns import dsn_for; {s: str(dsn_for(s)) for s in sites}", sites=SITES
        )
        for site, dsn in dsns.items():
            topology.reconfigure(site, dsn=dsn)

    current = int(topology.environment("portal").get("SSO_SIGNING_KEY") or 1)
    # 1. publish
    topology.reconfigure("portal", SSO_SIGNING_KEYS=f"{current + 1},{current}", SSO_SIGNING_KEY=f"{current}")
    assert visitor.signed_in_at() == set(EVERYWHERE)
    hand_out()
    assert visitor.signed_in_at() == set(EVERYWHERE)
    # 2. promote
    topology.reconfigure("portal", SSO_SIGNING_KEY=f"{current + 1}")
    assert visitor.signed_in_at() == set(EVERYWHERE)
    refused = topology.command("portal", "sso_keys", "retire")
    resigned = topology.manage("portal", "sso_keys", "resign")
    assert visitor.signed_in_at() == set(EVERYWHERE)
    # 3. retire
    topology.manage("portal", "sso_keys", "retire")
    topology.reconfigure("portal", SSO_SIGNING_KEYS=f"{current + 1}")
    hand_out()

    assert visitor.signed_in_at() == set(EVERYWHERE)
    assert visitor.sso_cookie == cookie
    assert refused.returncode == 1, "Live sessions still need the old key."
    assert "live sessions" in resigned
    assert topology.get("site_a", "/sso/health/").body != old
    visitor.sign_out("site_b")
    assert visitor.signed_in_at() == set()
