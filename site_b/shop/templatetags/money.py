"""Template filter: cents as money."""

from django import template

register = template.Library()


@register.filter
def money(cents: int) -> str:
    """``1950`` -> ``€19.50``."""
    return f"€{cents // 100:,}.{cents % 100:02}"
