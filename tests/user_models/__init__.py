"""User models as sites can have them. ``tests/sso_common/test_user_models.py`` runs a site with each."""
