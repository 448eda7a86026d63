"""Compares granian with gunicorn as the production server.

Prints a table of requests per second, latency, start, stop and memory. Run it by hand:
`python -m benchmarks.server_choice`. It needs wrk, gunicorn and uvicorn, which are not in the pinned
requirements. Its figures are in docs/decisions/server.md.

Each server has one process and serves the same Django page (one SQL query, one short template). The
servers take turns in each round, so that other work on the machine affects all of them.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
import urllib.request
from importlib.metadata import version
from pathlib import Path

from demo.ports import free_port

APPLICATION = """
import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.template import engines
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "page.sqlite3", "CONN_MAX_AGE": None}
    },
    MIDDLEWARE=["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="benchmark",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
)
django.setup()
page = engines["django"].from_string("<h1>Hello</h1>{% for row in rows %}<p>{{ row.0 }}</p>{% endfor %}")


def query():
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT i + 1 FROM n WHERE i < 10) SELECT i FROM n"
        )
        return cursor.fetchall()


def hello(request):
    return HttpResponse(page.render({"rows": query()}))


async def ahello(request):
    from asgiref.sync import sync_to_async

    return HttpResponse(page.render({"rows": await sync_to_async(query)()}))


urlpatterns = [path("", hello), path("async/", ahello)]
wsgi = get_wsgi_application()
asgi = get_asgi_application()
"""

GUNICORN = ["-m", "gunicorn", "--workers", "1", "--bind", "127.0.0.1:{port}", "--log-level", "error"]
GRANIAN = ["-m", "granian", "--workers", "1", "--port", "{port}", "--no-log"]
SERVERS = {
    "wsgi granian": [*GRANIAN, "--interface", "wsgi", "--blocking-threads", "4", "application:wsgi"],
    "wsgi gunicorn gthread": [*GUNICORN, "--worker-class", "gthread", "--threads", "4", "application:wsgi"],
    "asgi granian": [*GRANIAN, "--interface", "asginl", "application:asgi"],
    "asgi gunicorn asgi": [*GUNICORN, "--worker-class", "asgi", "application:asgi"],
    "asgi gunicorn uvicorn": [
        *GUNICORN,
        "--worker-class",
        "uvicorn.workers.UvicornWorker",
        "application:asgi",
    ],
}


class Run:
    """Starts a server, loads it with wrk, and stops it."""

    def __init__(self, name: str, folder: Path, seconds: int, connections: int) -> None:
        port = free_port()
        command = [sys.executable, "-W", "ignore", *(part.format(port=port) for part in SERVERS[name])]
        address = f"http://127.0.0.1:{port}/" + ("async/" if name.startswith("asgi") else "")
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            wait_for(address, process)
            self.start = time.perf_counter() - began
            run_wrk(address, 1, connections)  # warm up
            self.rate, self.p99 = run_wrk(address, seconds, connections)
            self.memory = memory_of(process.pid)
        finally:
            began = time.perf_counter()
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
            self.stop = time.perf_counter() - began


def wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise SystemExit(f"{process.args!r} ended with {process.returncode}")
        try:
            with urllib.request.urlopen(address, timeout=5) as response:
                assert response.status == 200
                return
        except OSError:
            time.sleep(0.02)
    raise SystemExit(f"{process.args!r} did not answer within 12 s")


def run_wrk(address: str, seconds: int, connections: int) -> tuple[float, float]:
    """Return requests per second and the 99th percentile in ms. Exits if a request fails."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", address]
    report = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in report or "Socket errors" in report:
        raise SystemExit(f"{address} failed under load:\n{report}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", report)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", report)
    assert rate
    assert p99
    return float(rate[1]), float(p99[1]) * {"us": 0.001, "ms": 1, "s": 1000}[p99[2]]


def memory_of(leader: int) -> float:
    """Return the resident memory of a process group in MiB. Shared pages count once per process."""
    listing = subprocess.run(["ps", "-eo", "pgid=,rss="], check=True, capture_output=True, text=True).stdout
    rows = (line.split() for line in listing.splitlines())
    return sum(int(rss) for group, rss in rows if int(group) == leader) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("This needs wrk (Debian and Ubuntu: apt install wrk).")
    runs: dict[str, list[Run]] = {name: [] for name in SERVERS}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "application.py").write_text(textwrap.dedent(APPLICATION))
        for turn in range(options.rounds):
            names = list(SERVERS) if turn % 2 else list(reversed(SERVERS))
            for name in names:
                runs[name].append(Run(name, Path(folder), options.seconds, options.connections))
                print(f"round {turn + 1}: {name}: {runs[name][-1].rate:.0f}/s", file=sys.stderr)
    print_report(options, runs)


def print_report(options: argparse.Namespace, runs: dict[str, list[Run]]) -> None:
    packages = ", ".join(f"{name} {version(name)}" for name in ("granian", "gunicorn", "uvicorn", "django"))
    print(f"Python {platform.python_version()}, {packages}, {os.cpu_count()} cores")
    print(f"{options.rounds} rounds of {options.seconds} s, {options.connections} connections, medians\n")
    print("| server | requests/s | ratio to granian (range) | p99 ms | start s | stop s | MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, results in runs.items():
        base = runs[name.split()[0] + " granian"]
        ratios = [one.rate / other.rate for one, other in zip(results, base, strict=True)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        figures = {
            key: statistics.median(getattr(one, key) for one in results)
            for key in ("rate", "p99", "start", "stop", "memory")
        }
        print(
            f"| {name} | {figures['rate']:.0f} | {spread} | {figures['p99']:.1f} | {figures['start']:.2f} "
            f"| {figures['stop']:.2f} | {figures['memory']:.0f} |"
        )


if __name__ == "__main__":
    main()
