"""Signed-in sessions: issued, re-signed, listed and ended. No other code does this."""
