"""What one page asks of Redis and of the database: ``python -m benchmarks.counts <path> <cookie>``.

In: settings (``DJANGO_SETTINGS_MODULE``), a path and a Cookie header. Out: one line of JSON with the
numbers of round trips to Redis and of SQL queries. A process of its own, because it has one project's
settings.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import django
from redis.connection import AbstractConnection


def main() -> None:
    django.setup()
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    path, cookie = sys.argv[1:]
    sent = _count_sends()

    def ask() -> int:
        return int(Client().get(path, headers={"cookie": cookie}, secure=True).status_code)

    assert ask() == 200  # connects, loads scripts, verifies the record
    sent.clear()
    with CaptureQueriesContext(connection) as queries:
        assert ask() == 200
    print(json.dumps({"redis": len(sent), "sql": len(queries)}))


def _count_sends() -> list[int]:
    """A list that grows by one with each round trip: redis-py sends a command, or a pipeline, at once."""
    sent: list[int] = []
    send: Callable[..., Any] = AbstractConnection.send_packed_command

    def counting(self: AbstractConnection, *arguments: Any, **options: Any) -> Any:
        sent.append(1)
        return send(self, *arguments, **options)

    AbstractConnection.send_packed_command = counting
    return sent


if __name__ == "__main__":
    main()
