"""Who did what, when: sign-ins, sign-outs, revocations, roles, sites. Never tokens or secrets."""

from .services import prune, record

__all__ = ["prune", "record"]
