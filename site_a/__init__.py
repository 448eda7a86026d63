"""Notes: an ordinary Django project (WSGI, stock ``auth.User``) whose users sign in at the portal."""
