"""User models that sites may have; ``tests/sso_common/test_user_models.py`` runs a site with each."""
