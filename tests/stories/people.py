"""The actors of the stories: people, who have an account, and visitors, who use a browser.

A ``Visitor`` wraps a Playwright page: it opens pages, signs in and out, and tells where it is signed in.
Every story creates its own people, so that no story depends on another.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Locator, Page, Response

from tests.stories.topology import StoryTopology

SITES = ("site_a", "site_b")
EVERYWHERE = ("portal", *SITES)
SIGN_IN_PATH = "/accounts/login/"


@dataclass(frozen=True, slots=True)
class Person:
    """A user of the portal."""

    sub: str
    username: str
    email: str
    name: str
    password: str = "correct horse battery staple"


@dataclass
class Visitor:
    """A browser and its user. ``answers`` are all responses so far, in order, without static files."""

    page: Page
    topology: StoryTopology
    answers: list[Response] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.context.on("response", self._note)

    def _note(self, response: Response) -> None:
        if "/static/" not in response.url:
            self.answers.append(response)

    # --- what a visitor does ------------------------------------------------------------------

    def open(self, part: str, path: str = "/", *, page: Page | None = None) -> Response:
        """Open a page of a part; return the response after all redirects."""
        response = (page or self.page).goto(self.topology.urls[part] + path, wait_until="domcontentloaded")
        assert response is not None
        return response

    def fill_in(self, person: Person, *, password: str = "", remember: bool = False) -> None:
        """Fill in and submit the portal's sign-in form, which must be on the page."""
        page = self.page
        page.locator("input[name=login]").fill(person.username)
        page.locator("input[name=password]").fill(password or person.password)
        page.locator("input[name=remember]").set_checked(remember)
        with page.expect_navigation(wait_until="domcontentloaded"):
            page.locator("form:has(input[name=password]) button[type=submit]").click()

    def sign_in(self, person: Person, *, remember: bool = False) -> None:
        """Sign in at the portal, without a site to return to."""
        self.open("portal", SIGN_IN_PATH)
        self.fill_in(person, remember=remember)
        assert self.sso_cookie, "The portal did not sign in."

    def sign_out(self, part: str, *, page: Page | None = None) -> None:
        """Open a part and press its sign-out button."""
        page = page or self.page
        self.open(part, page=page)
        sign_out_button(page).click()
        page.wait_for_url(re.compile("/sso/v1/signed-out"), wait_until="domcontentloaded")

    def forget(self) -> None:
        """Empty the list of answers."""
        self.answers.clear()

    # --- what a visitor sees --------------------------------------------------------------------

    def is_signed_in(self, part: str, *, page: Page | None = None) -> bool:
        """Return whether a freshly loaded page of a part offers to sign out."""
        page = page or self.page
        assert self.open(part, page=page).ok
        return sign_out_button(page).count() > 0

    def signed_in_at(self) -> set[str]:
        """Load a page of each part; return the parts at which the visitor is signed in."""
        return {part for part in EVERYWHERE if self.is_signed_in(part)}

    @property
    def path(self) -> str:
        """The address of the page as part and path, for example ``site_a/notes/``."""
        return part_and_path(self.topology, self.page.url)

    @property
    def text(self) -> str:
        """The visible text of the page."""
        return self.page.locator("body").inner_text()

    # --- what is in the browser -----------------------------------------------------------------

    @property
    def sso_cookie(self) -> dict[str, Any] | None:
        """The SSO cookie with all its attributes."""
        name = self.sso_cookie_name
        found = [cookie for cookie in self.page.context.cookies() if cookie["name"] == name]
        assert len(found) < 2
        return dict(found[0]) if found else None

    @property
    def sso_cookie_name(self) -> str:
        """The name of the SSO cookie in this topology."""
        return f"__Secure-{self.topology.options.namespace}"

    @property
    def sid(self) -> str:
        """The public half of the session token."""
        assert self.sso_cookie
        return str(self.sso_cookie["value"].split(".")[0])

    def cookies_for(self, part: str) -> dict[str, str]:
        """Return the cookies that the browser sends to a part, for ``topology.get``."""
        return {each["name"]: each["value"] for each in self.page.context.cookies(self.topology.urls[part])}

    def host_cookie(self, part: str) -> str | None:
        """Return the cookie of a part's own anonymous session."""
        return self.cookies_for(part).get("__Host-session")

    def redirects(self) -> list[str]:
        """Return the redirects among the answers."""
        return [f"{each.status} {each.url}" for each in self.answers if 300 <= each.status < 400]

    def setters(self) -> dict[str, list[str]]:
        """Return part -> names of the cookies that its answers have set or deleted."""
        found: dict[str, list[str]] = {}
        for each in self.answers:
            for header in each.headers_array():
                if header["name"].lower() == "set-cookie":
                    part = part_and_path(self.topology, each.url).split("/")[0]
                    found.setdefault(part, []).append(header["value"].split("=")[0])
        return found


def sign_out_button(page: Page) -> Locator:
    """Return the page's sign-out button."""
    return page.get_by_role("button", name=re.compile("^sign out$", re.IGNORECASE)).first


def part_and_path(topology: StoryTopology, url: str) -> str:
    """Replace the origin in an address by the part's name, and cut off the query."""
    for part, origin in topology.urls.items():
        if url == origin or url.startswith(f"{origin}/"):
            return part + url.removeprefix(origin).partition("?")[0]
    return url
