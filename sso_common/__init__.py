"""One sign-in for several Django sites: what a site installs to share the portal's session.

A site may use these modules and names; everything else is private to the project:

``conf.secret_keys`` and ``conf.cache``
    in the settings
``middleware``, ``backends.SSOBackend``, ``sessions``, ``urls``
    named in the settings and the URLconf; their classes may be subclassed
``admin.SSOAdminConfig``
    the Django admin behind single sign-on
``channels``
    in ``asgi.py`` and in consumers
``users.UserMapper``, ``adoption.adopt``
    the hooks ``SSO_USER_MAPPER`` and ``SSO_ADOPT_SESSION``
``identity.Identity``
    what ``request.sso`` is
``exceptions``
    what all of this raises
``testing``
    for a site's own tests
the ids of the system checks
    for ``SILENCED_SYSTEM_CHECKS``; docs/checks.md lists them

The modules in reading order. Imports point one way; ``make lint`` checks that.

The ground, what a site is told and what follows from it: ``exceptions``, ``keys``, ``dsn``, ``conf``,
``domains``.

A request: ``tokens``, ``identity``, ``record_cache``, ``store``, ``flows``, ``fields``, ``adoption``,
``idle``, ``resolving``, ``logins``, ``authentication``, ``sessions``, ``cookies``, ``http``, ``middleware``,
``refusals``, ``backends``, ``views``, ``responses``, ``addresses``. A WebSocket: ``channels``, ``sockets``.

A change to a user: ``snapshot``, ``requests``, ``client``, ``feed``, ``sync``, ``follow``, ``users``,
``models``, ``admission``.

Operating it: ``checks``, ``doctor``, ``management``, ``testing``.
"""

__version__ = "0.1.0"
