"""The audit log: sign-ins, sign-outs, revocations, roles, sites. Never tokens or secrets.

It imports none of the other apps; they call ``services.record``.
"""
