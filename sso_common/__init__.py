"""One sign-in for several Django sites: what a site installs to share the portal's session.

A site may use these modules and names; everything else is private to the project:

``conf.secret_keys`` and ``conf.cache``
    in the settings
``middleware``, ``backends.SSOBackend``, ``sessions``, ``urls``
    named in the settings and the URLconf; their classes may be subclassed
``admin.SSOAdminConfig``, ``admin.SSOAdminSite``, ``user_admin.SSOUserAdminMixin``
    the Django admin behind single sign-on, and linked users in an admin site of your own
``{% load sso %}`` and the names in ``urls``
    links to the portal's pages
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

The ground, what a site is told and what follows from it: ``exceptions``, ``keys``, ``database``,
``dsn``, ``conf``, ``domains``.

A request: ``tokens``, ``identity``, ``record_cache``, ``store``, ``flows``, ``turns``, ``fields``,
``adoption``, ``idle``, ``running``, ``resolving``, ``expiry``, ``logins``, ``announcing``,
``authentication``, ``sessions``, ``cookies``, ``csrf``, ``http``, ``middleware``, ``refusals``, ``pages``,
``forwarding``, ``backends``, ``forms``, ``views``, ``templatetags``, ``responses``, ``addresses``. A
WebSocket: ``channels``, ``sockets``.

A change to a user: ``snapshot``, ``exported``, ``requests``, ``client``, ``feed``, ``sync``, ``follow``,
``users``, ``models``, ``admission``, ``user_admin``.

Operating it: ``checks``, ``doctor``, ``management``, ``testing``.
"""

__version__ = "0.1.0"
