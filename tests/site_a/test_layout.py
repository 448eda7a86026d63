"""What surrounds every page: who is signed in, the ways in and out, and what it costs."""

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core import checks
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from site_a.notes.templatetags.people import initials
from sso_common.testing import sign_in, sign_out
from tests.servers import ValkeyServer


def commands(valkey: ValkeyServer) -> int:
    """How many commands Valkey has run."""
    return int(valkey.admin.info("stats")["total_commands_processed"])


def test_the_bar_shows_the_name_from_the_portal_and_a_way_out(client: Client) -> None:
    sign_in(client, "anna", first_name="Anna", last_name="Lund")

    text = client.get("/").text

    assert "Anna Lund" in text
    assert '<form method="post" action="/sso/logout/">' in text
    assert "/sso/login/" not in text


def test_the_bar_offers_to_sign_in_and_to_come_back(client: Client) -> None:
    text = client.get("/?page=1").text

    assert 'href="/sso/login/?next=%2F%3Fpage%3D1"' in text
    assert "/sso/logout/" not in text


def test_the_bar_leads_to_the_portal_and_to_the_other_places(client: Client) -> None:
    text = client.get("/about/").text

    assert 'href="http://portal.sso.localhost/"' in text
    assert 'href="http://b.testserver">Shop' in text


def test_the_about_page_asks_neither_redis_nor_the_database(
    client: Client, valkey: ValkeyServer, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    sign_in(client, "anna")
    before = commands(valkey)

    with django_assert_num_queries(0):
        response = client.get("/about/")

    assert response.status_code == 200
    assert commands(valkey) - before == 1  # the INFO that counts
    assert "Cookie" not in response.get("Vary", "")
    assert not response.cookies


def test_a_private_page_of_a_known_user_costs_one_query_for_the_user(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    sign_in(client, "anna")
    client.get("/notes/")

    with django_assert_num_queries(2):  # the user; how many notes there are (none, so none are fetched)
        client.get("/notes/")


def test_signing_out_asks_for_the_csrf_token() -> None:
    client = Client(enforce_csrf_checks=True)
    sign_in(client, "anna")

    response = client.post("/sso/logout/")

    assert response.status_code == 403
    assert "Nothing was changed" in response.text
    assert client.get("/you/").status_code == 200


def test_signed_out_elsewhere_is_signed_out_here_at_the_next_request(client: Client) -> None:
    sign_in(client, "anna")
    assert client.get("/notes/").status_code == 200

    sign_out(client)

    assert client.get("/notes/").status_code == 302


def test_who_is_not_admitted_here_gets_a_page_and_no_loop(client: Client) -> None:
    sign_in(client, "mallory", sites={"site_b": []})

    response = client.get("/notes/", follow=True)

    assert response.status_code == 403
    assert response.redirect_chain == []
    assert not User.objects.filter(username="mallory").exists()


def test_you_shows_the_subject_beside_the_local_user(client: Client) -> None:
    identity = sign_in(client, "anna", roles=["editor"])

    text = client.get("/you/").text

    assert str(identity.sub) in text
    assert "editor" in text
    assert "Editors" in text


def test_redis_away_is_a_503_and_the_static_page_stays(client: Client, valkey: ValkeyServer) -> None:
    sign_in(client, "anna")
    valkey.kill()

    private, static = client.get("/notes/"), client.get("/about/")

    assert private.status_code == 503
    assert "Retry-After" in private
    assert not private.cookies
    assert static.status_code == 200


def test_an_unknown_address_is_a_page_of_this_site(client: Client) -> None:
    response = client.get("/no/such/page/")

    assert response.status_code == 404
    assert "Page not found" in response.text


@pytest.mark.parametrize("path", ["site_a/family.css", "site_a/notes.css", "site_a/icon.svg"])
def test_static_files_are_served_without_collectstatic(client: Client, path: str) -> None:
    response = client.get(f"/static/{path}")

    assert response.status_code == 200
    assert b"".join(response.streaming_content)


def test_the_look_of_the_family_is_the_same_file_at_both_sites() -> None:
    here = settings.BASE_DIR / "static" / "site_a" / "family.css"
    there = settings.BASE_DIR.parent / "site_b" / "static" / "site_b" / "family.css"

    assert here.read_bytes() == there.read_bytes()


def test_ten_lines_of_settings_are_all_that_the_package_needs() -> None:
    text = (settings.BASE_DIR / "settings.py").read_text()

    assert [f"# SSO {number}" in text for number in range(1, 11)] == [True] * 10
    assert text.count("# SSO ") == 10


def test_the_configuration_passes_every_check(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["a.sso.localhost"]

    assert checks.run_checks() == []


@pytest.mark.parametrize(
    ("first", "last", "letters"),
    [("Anna", "Lund", "AL"), ("Åsa", "", "Å"), ("", "", "AD"), ("Jo Ann", "de Wit", "JW")],
)
def test_initials_are_the_first_and_the_last_word(first: str, last: str, letters: str) -> None:
    assert initials(User(username="anna.dahl", first_name=first, last_name=last)) == letters
