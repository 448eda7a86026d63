"""Shop: ASGI, its own user model, an anonymous cart, a JSON API; signed in at the portal."""
