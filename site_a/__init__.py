"""Notes: an ordinary Django project (WSGI, stock ``auth.User``) that signs people in at the portal."""
