"""What the tests of all products do and ask."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.stories.people import SIGN_IN_PATH, Person, Visitor
from tests.timing import WAIT


def leads_to_the_portal(visitor: Visitor, name: str, path: str) -> bool:
    """Open a page of a product without being signed in; return whether the portal asks to sign in."""
    visitor.open(name, path)
    return visitor.path == f"portal{SIGN_IN_PATH}"


def arrive(visitor: Visitor, person: Person, name: str, path: str) -> None:
    """Open a page of a product that needs a user, sign in at the portal, and arrive at the page."""
    assert leads_to_the_portal(visitor, name, path)
    visitor.fill_in(person)
    assert visitor.path == f"{name}{path}"


def status_of(visitor: Visitor, name: str, path: str) -> int:
    """Open a page; return its status after all redirects."""
    return visitor.open(name, path).status


def is_signed_out_everywhere(visitor: Visitor, name: str, path: str) -> bool:
    """Return whether neither the product nor another site knows the visitor."""
    return leads_to_the_portal(visitor, name, path) and not visitor.is_signed_in("site_a")


def wait_for_the_portal(visitor: Visitor, path: str = SIGN_IN_PATH) -> None:
    """Return when the browser has arrived at a page of the portal, also by a page that goes on by itself."""
    address = re.compile(rf"^http://portal\.[^/]+{path}\?")
    expect(visitor.page).to_have_url(address, timeout=1000 * WAIT)
