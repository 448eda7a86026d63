"""Examines a live installation: Redis, the portal, the database and the settings together.

The system checks see the settings only. ``examine`` yields one ``Finding`` for each thing examined;
``manage.py sso_doctor`` prints them.
"""

from .examination import TIMEOUT, examine
from .findings import Finding, Level, worst

__all__ = ["TIMEOUT", "Finding", "Level", "examine", "worst"]
