"""Template filters that show a user."""

from typing import Any

from django import template

register = template.Library()


@register.filter
def display_name(user: Any) -> str:
    """The full name, or the username if there is none."""
    return user.get_full_name() or user.get_username()


@register.filter
def initials(user: Any) -> str:
    """The initials of the first and the last word of the name."""
    words = display_name(user).replace("_", " ").replace(".", " ").split() or ["?"]
    letters = words[0][0] + (words[-1][0] if len(words) > 1 else "")
    return letters.upper()
