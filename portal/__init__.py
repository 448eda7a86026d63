"""The portal: owns users, passwords, sign-in and sign-out. Sites install ``sso_common``, never this."""
