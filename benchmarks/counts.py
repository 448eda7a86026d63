"""Counts the round trips of a page: ``python -m benchmarks.counts <path> <Cookie header>``.

Prints one line of JSON with the numbers of round trips to Redis and of SQL queries. It is a separate
process, because it needs the settings of one project.
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
    sent = count_sends()

    def get() -> int:
        return int(Client().get(path, headers={"cookie": cookie}, secure=True).status_code)

    assert get() == 200  # connects, loads scripts, verifies the record
    sent.clear()
    with CaptureQueriesContext(connection) as queries:
        assert get() == 200
    print(json.dumps({"redis": len(sent), "sql": len(queries)}))


def count_sends() -> list[int]:
    """Return a list that grows by one item with each round trip (a command or a pipeline)."""
    sent: list[int] = []
    send: Callable[..., Any] = AbstractConnection.send_packed_command

    def counting(self: AbstractConnection, *arguments: Any, **options: Any) -> Any:
        sent.append(1)
        return send(self, *arguments, **options)

    AbstractConnection.send_packed_command = counting
    return sent


if __name__ == "__main__":
    main()
