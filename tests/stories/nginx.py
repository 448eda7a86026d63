"""A real nginx with TLS in front of a topology, configured by the template that is shipped in nginx/.

The topology must have a ``tls_port``. The certificate is self-signed, so browsers need
``ignore_https_errors``.
"""

from __future__ import annotations

import datetime as dt
import string
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from demo.options import ROOT, Options
from demo.parts import Part, Watchdog
from demo.ports import free_port, is_free
from tests.timing import WAIT


@contextmanager
def tls_proxy(nginx: str, options: Options) -> Iterator[Part]:
    """Start nginx (a path) in a temporary folder, yield its process, and stop it."""
    with tempfile.TemporaryDirectory(prefix="sso-nginx-") as folder:
        yield from _run(nginx, options, Path(folder))


def _run(nginx: str, options: Options, folder: Path) -> Iterator[Part]:
    folder.chmod(0o755)  # nginx's workers are not root and write large request bodies to files
    configure(options, folder)
    command: list[str | Path] = [nginx, "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "error.log"]
    subprocess.run([*command, "-t", "-q"], check=True)
    watchdog = Watchdog()
    part = Part("nginx", [*command, "-g", "daemon off;"], {}, folder / "nginx.log", watchdog)
    part.start()
    try:
        deadline = time.monotonic() + WAIT
        while is_free(options.tls_port):
            if not part.is_running() or time.monotonic() > deadline:
                raise AssertionError(f"nginx did not start:\n{(folder / 'error.log').read_text()}")
            time.sleep(0.05)
        yield part
    finally:
        part.stop()
        watchdog.close()


def configure(options: Options, folder: Path) -> None:
    """Write the configuration, a key and a certificate for the three names."""
    certificate, key = _certificate(options.domain)
    (folder / "temp").mkdir()
    (folder / "certificate.pem").write_bytes(certificate)
    (folder / "key.pem").write_bytes(key)
    template = string.Template((ROOT / "nginx" / "sso.conf.template").read_text())
    filled = template.safe_substitute(
        LISTEN="127.0.0.1",
        HTTP_PORT=free_port(),
        HTTPS_PORT=options.tls_port,
        SSO_DOMAIN=options.domain,
        TLS_CERTIFICATE=folder / "certificate.pem",
        TLS_KEY=folder / "key.pem",
        PORTAL_UPSTREAM=f"127.0.0.1:{options.portal_port}",
        SITE_A_UPSTREAM=f"127.0.0.1:{options.site_a_port}",
        SITE_B_UPSTREAM=f"127.0.0.1:{options.site_b_port}",
    )
    (folder / "sso.conf").write_text(filled)
    (folder / "nginx.conf").write_text((ROOT / "nginx" / "nginx.conf").read_text())


def _certificate(domain: str) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, domain)])
    now = dt.datetime.now(tz=dt.UTC)
    names = [x509.DNSName(f"{host}.{domain}") for host in ("portal", "a", "b")]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private
