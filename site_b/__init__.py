"""Shop: a Django project with ASGI, its own user model, an anonymous cart and a JSON API."""
