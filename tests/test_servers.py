"""The servers that the other tests use are real, and each test finds them running and empty."""

from __future__ import annotations

import subprocess

import psycopg
import pytest
import redis

from tests.servers import ValkeyServer


def test_a_killed_valkey_keeps_what_it_has_acknowledged(valkey: ValkeyServer) -> None:
    valkey.admin.set("key", "value")

    valkey.restart()

    assert valkey.admin.get("key") == "value"


def test_a_paused_valkey_accepts_connections_and_never_replies(valkey: ValkeyServer) -> None:
    valkey.pause()

    with pytest.raises(redis.TimeoutError), redis.Redis.from_url(valkey.url, socket_timeout=0.1) as client:
        client.ping()


def test_each_test_finds_valkey_running_and_empty(valkey: ValkeyServer) -> None:
    assert valkey.admin.dbsize() == 0
    assert valkey.admin.acl_users() == ["default"]
    assert valkey.admin.config_get("appendonly") == {"appendonly": "yes"}
    assert valkey.admin.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


@pytest.mark.postgres
def test_postgres_is_a_real_server_and_does_not_run_as_root(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        version, pid = connection.execute("SELECT version(), pg_backend_pid()").fetchone() or ("", 0)
        owner = subprocess.run(["ps", "-o", "uid=", "-p", str(pid)], check=True, capture_output=True).stdout

    assert version.startswith("PostgreSQL ")
    assert int(owner) != 0
