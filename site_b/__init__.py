"""Shop: an ASGI project with its own user model, an anonymous cart and a JSON API, signed in at the portal."""
