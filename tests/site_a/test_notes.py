"""Who can see and change which note."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from site_a.notes.models import Note
from sso_common.testing import sign_in


def person(client: Client, username: str, **options: object) -> User:
    """Sign a user in and return the local user, which the first request creates."""
    sign_in(client, username, **options)
    assert client.get("/you/").status_code == 200
    return User.objects.get(username=username)


@pytest.fixture
def anna(client: Client) -> User:
    return person(client, "anna", first_name="Anna", last_name="Lund")


@pytest.fixture
def ben() -> User:
    return User.objects.create_user("ben", first_name="Ben")


def test_private_note_sends_anonymous_visitors_to_sign_in_and_back(client: Client, ben: User) -> None:
    note = Note.objects.create(owner=ben, title="Secret plan")

    response = client.get(f"/notes/{note.pk}/")

    assert response.status_code == 302
    assert response["Location"] == f"/sso/login/?next=/notes/{note.pk}/"


def test_anonymous_visitor_cannot_tell_a_private_note_from_a_missing_one(client: Client, ben: User) -> None:
    note = Note.objects.create(owner=ben, title="Secret plan")

    private, missing = client.get(f"/notes/{note.pk}/"), client.get("/notes/987654/")

    assert (private.status_code, missing.status_code) == (302, 302)
    assert missing["Location"] == "/sso/login/?next=/notes/987654/"


def test_user_cannot_tell_another_users_private_note_from_a_missing_one(
    client: Client, anna: User, ben: User
) -> None:
    note = Note.objects.create(owner=ben, title="Secret plan")

    private, missing = client.get(f"/notes/{note.pk}/"), client.get("/notes/987654/")

    assert (private.status_code, missing.status_code) == (404, 404)
    assert "Secret plan" not in private.text


def test_owner_reads_a_private_note(client: Client, anna: User) -> None:
    note = Note.objects.create(owner=anna, title="Groceries", body="Two lemons & bread")

    response = client.get(f"/notes/{note.pk}/")

    assert response.status_code == 200
    assert "Two lemons &amp; bread" in response.text


def test_anonymous_visitor_reads_a_public_note_and_sees_its_author(client: Client, ben: User) -> None:
    note = Note.objects.create(owner=ben, title="For everybody", is_public=True)

    assert "For everybody" in client.get("/").text
    assert "Ben" in client.get(f"/notes/{note.pk}/").text


def test_lists_never_show_another_users_private_note(client: Client, anna: User, ben: User) -> None:
    Note.objects.create(owner=ben, title="Secret plan")
    Note.objects.create(owner=anna, title="My own")

    public, mine = client.get("/").text, client.get("/notes/").text

    assert "Secret plan" not in public + mine
    assert "My own" in mine
    assert "My own" not in public


def test_new_note_belongs_to_the_signed_in_user_and_is_private(client: Client, anna: User, ben: User) -> None:
    response = client.post("/notes/new/", {"title": "Idea", "body": "…", "tint": "mint", "owner": ben.pk})

    note = Note.objects.get()
    assert response["Location"] == f"/notes/{note.pk}/"
    assert (note.owner, note.is_public, note.tint) == (anna, False, "mint")


def test_note_without_a_title_shows_an_error_and_keeps_the_text(client: Client, anna: User) -> None:
    response = client.post("/notes/new/", {"title": "", "body": "A long thought", "tint": "paper"})

    assert response.status_code == 200
    assert "This field is required." in response.text
    assert "A long thought" in response.text
    assert not Note.objects.exists()


def test_owner_edits_and_deletes_a_note(client: Client, anna: User) -> None:
    note = Note.objects.create(owner=anna, title="Draft")

    client.post(f"/notes/{note.pk}/edit/", {"title": "Final", "tint": "sky", "is_public": "on"})
    note.refresh_from_db()
    assert (note.title, note.is_public) == ("Final", True)

    assert "“Final” was deleted." in client.post(f"/notes/{note.pk}/delete/", follow=True).text
    assert not Note.objects.exists()


@pytest.mark.parametrize("action", ["edit", "delete"])
def test_attack_changing_another_users_note(client: Client, anna: User, ben: User, action: str) -> None:
    note = Note.objects.create(owner=ben, title="Ben's", is_public=True)

    response = client.post(f"/notes/{note.pk}/{action}/", {"title": "Defaced", "tint": "sky"})

    assert response.status_code == 404
    note.refresh_from_db()
    assert note.title == "Ben's"


def test_editor_edits_public_notes_but_not_their_visibility_or_owner(client: Client, ben: User) -> None:
    person(client, "edda", roles=["editor"])
    note = Note.objects.create(owner=ben, title="Tpyo", is_public=True)

    assert "public note as a curator." in client.get(f"/notes/{note.pk}/edit/").text
    client.post(f"/notes/{note.pk}/edit/", {"title": "Typo", "tint": "sky", "is_public": ""})

    note.refresh_from_db()
    assert (note.title, note.is_public, note.owner) == ("Typo", True, ben)


def test_editor_cannot_open_private_notes(client: Client, ben: User) -> None:
    person(client, "edda", roles=["editor"])
    note = Note.objects.create(owner=ben, title="Secret plan")

    assert client.get(f"/notes/{note.pk}/").status_code == 404
    assert client.get(f"/notes/{note.pk}/edit/").status_code == 404


def test_attack_script_in_a_note_is_escaped(client: Client, anna: User) -> None:
    note = Note.objects.create(
        owner=anna, title="<script>alert(1)</script>", body="<img src=x onerror=alert(1)>"
    )

    text = client.get(f"/notes/{note.pk}/").text

    assert "<script>" not in text
    assert "<img" not in text


def test_long_lists_are_paginated(client: Client, anna: User) -> None:
    Note.objects.bulk_create(Note(owner=anna, title=f"Note {number}") for number in range(13))

    first, second = client.get("/notes/").text, client.get("/notes/?page=2").text

    assert len(re.findall(r"<article", first)) == 12
    assert len(re.findall(r"<article", second)) == 1
    assert 'rel="next"' in first
    assert client.get("/notes/?page=3").status_code == 404
