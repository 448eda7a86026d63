"""Host names as browsers treat them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sso_common.domains import is_local, is_public_suffix, is_under, may_be_under


@pytest.mark.parametrize("host", ["example.com", "a.example.com", "EXAMPLE.com.", "a.b.example.com"])
def test_a_cookie_reaches_its_domain_and_the_hosts_below(host: str) -> None:
    assert is_under(host, "example.com")


@pytest.mark.parametrize("host", ["badexample.com", "example.com.evil.net", "example.org", "com", ""])
def test_a_cookie_does_not_reach_other_hosts(host: str) -> None:
    assert not is_under(host, "example.com")


@pytest.mark.parametrize("pattern", ["*", ".localhost", ".sso.localhost", "a.sso.localhost:8001"])
def test_allowed_hosts_entry_allows_a_host_under_the_domain(pattern: str) -> None:
    assert may_be_under(pattern, "sso.localhost")


@pytest.mark.parametrize("pattern", ["a.example.org:80", "127.0.0.1", ".example.org", ""])
def test_allowed_hosts_entry_allows_no_host_under_the_domain(pattern: str) -> None:
    assert not may_be_under(pattern, "example.com")


@pytest.mark.parametrize(
    "host", ["localhost", "sso.localhost", "a.SSO.localhost.", "127.0.0.1", "127.8.0.9", "::1"]
)
def test_names_under_localhost_and_loopback_addresses_are_local(host: str) -> None:
    assert is_local(host)


@pytest.mark.parametrize(
    "host", ["example.com", "notlocalhost", "localhost.example.com", "192.168.0.1", "::2", ""]
)
def test_other_hosts_are_not_local(host: str) -> None:
    assert not is_local(host)


@pytest.mark.parametrize("label", ["com", "localhost", "internal", "testserver", "xn--p1ai"])
def test_a_single_label_is_a_public_suffix(label: str) -> None:
    assert is_public_suffix(label)


@pytest.mark.parametrize(
    "domain",
    [
        *("co.uk", "com.au", "co.jp", "com.br", "net.vn", "gov.sg", "xn--55qx5d.cn"),
        *("c.kobe.jp", "kobe.jp"),  # the rule is *.kobe.jp
    ],
)
def test_a_suffix_of_a_registry_is_public(domain: str) -> None:
    assert is_public_suffix(domain)


@pytest.mark.parametrize(
    "domain", ["github.io", "herokuapp.com", "pages.dev", "vercel.app", "fly.dev", "s3.amazonaws.com"]
)
def test_a_suffix_of_a_hosting_company_is_public(domain: str) -> None:
    assert is_public_suffix(domain)


@pytest.mark.parametrize(
    "domain",
    [
        *("example.com", "sso.example.com", "example.co.uk", "my.github.io"),
        *("sso.localhost", "corp.internal", "sso.testserver", "127.0.0.1"),
        "city.kobe.jp",  # an exception to *.kobe.jp
    ],
)
def test_a_domain_with_one_owner_is_not_a_public_suffix(domain: str) -> None:
    assert not is_public_suffix(domain)


def test_importing_domains_does_not_import_the_list_of_suffixes() -> None:
    program = "import sys, sso_common.domains; print('publicsuffixlist' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
