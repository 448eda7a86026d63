"""The layout of Notes' pages: the user, sign-in and sign-out, error pages, and what a page costs."""

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
    """The number of commands that Valkey has run."""
    return int(valkey.admin.info("stats")["total_commands_processed"])


def test_bar_shows_the_name_from_the_portal_and_the_sign_out_button(client: Client) -> None:
    sign_in(client, "anna", first_name="Anna", last_name="Lund")

    text = client.get("/").text

    assert "Anna Lund" in text
    assert '<form method="post" action="/sso/logout/">' in text
    assert "/sso/login/" not in text


def test_bar_links_to_sign_in_and_back_to_the_same_page(client: Client) -> None:
    text = client.get("/?page=1").text

    assert 'href="/sso/login/?next=%2F%3Fpage%3D1"' in text
    assert "/sso/logout/" not in text


def test_bar_links_to_the_portal_and_the_other_sites(client: Client) -> None:
    text = client.get("/about/").text

    assert 'href="http://portal.sso.localhost/"' in text
    assert 'href="http://b.testserver">Shop' in text


def test_about_page_uses_neither_redis_nor_the_database(
    client: Client, valkey: ValkeyServer, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    sign_in(client, "anna")
    before = commands(valkey)

    with django_assert_num_queries(0):
        response = client.get("/about/")

    assert response.status_code == 200
    assert commands(valkey) - before == 1  # the INFO command of commands()
    assert "Cookie" not in response.get("Vary", "")
    assert not response.cookies


def test_private_page_costs_one_query_for_a_known_user(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    sign_in(client, "anna")
    client.get("/notes/")

    with django_assert_num_queries(2):  # the user, and the number of notes (0, so no notes are fetched)
        client.get("/notes/")


def test_sign_out_requires_the_csrf_token() -> None:
    client = Client(enforce_csrf_checks=True)
    sign_in(client, "anna")

    response = client.post("/sso/logout/")

    assert response.status_code == 403
    assert "Nothing was changed" in response.text
    assert client.get("/you/").status_code == 200


def test_sign_out_elsewhere_takes_effect_at_the_next_request(client: Client) -> None:
    sign_in(client, "anna")
    assert client.get("/notes/").status_code == 200

    sign_out(client)

    assert client.get("/notes/").status_code == 302


def test_user_without_access_gets_a_403_page_and_no_loop(client: Client) -> None:
    sign_in(client, "mallory", sites={"site_b": []})

    response = client.get("/notes/", follow=True)

    assert response.status_code == 403
    assert response.redirect_chain == []
    assert not User.objects.filter(username="mallory").exists()


def test_account_page_shows_the_subject_beside_the_local_user(client: Client) -> None:
    identity = sign_in(client, "anna", roles=["editor"])

    text = client.get("/you/").text

    assert str(identity.sub) in text
    assert "editor" in text
    assert "Editors" in text


def test_redis_down_answers_503_and_the_about_page_still_works(client: Client, valkey: ValkeyServer) -> None:
    sign_in(client, "anna")
    valkey.kill()

    private, static = client.get("/notes/"), client.get("/about/")

    assert private.status_code == 503
    assert "Retry-After" in private
    assert not private.cookies
    assert static.status_code == 200


def test_unknown_address_shows_this_sites_404_page(client: Client) -> None:
    response = client.get("/no/such/page/")

    assert response.status_code == 404
    assert "Page not found" in response.text


@pytest.mark.parametrize("path", ["site_a/family.css", "site_a/notes.css", "site_a/icon.svg"])
def test_static_files_are_served_without_collectstatic(client: Client, path: str) -> None:
    response = client.get(f"/static/{path}")

    assert response.status_code == 200
    assert b"".join(response.streaming_content)


def test_settings_mark_the_ten_lines_of_the_readme() -> None:
    text = (settings.BASE_DIR / "settings.py").read_text()

    assert [f"# SSO {number}" in text for number in range(1, 11)] == [True] * 10
    assert text.count("# SSO ") == 10


def test_configuration_passes_all_checks(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["a.sso.localhost"]

    assert checks.run_checks() == []


@pytest.mark.parametrize(
    ("first", "last", "letters"),
    [("Anna", "Lund", "AL"), ("Åsa", "", "Å"), ("", "", "AD"), ("Jo Ann", "de Wit", "JW")],
)
def test_initials_are_of_the_first_and_the_last_word(first: str, last: str, letters: str) -> None:
    assert initials(User(username="anna.dahl", first_name=first, last_name=last)) == letters
