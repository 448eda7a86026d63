"""One sign-in for every subdomain: what a Django site installs to share the portal's session.

Open the modules in the order of a request: ``tokens``, ``keys``, ``store``, ``identity``,
``sessions``, ``middleware``, ``backends``, ``views``; then in the order of a change to a user:
``snapshot``, ``feed``, ``users``, ``models``.
"""

__version__ = "0.1.0"
