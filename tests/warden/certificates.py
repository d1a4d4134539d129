"""A certificate for tests, made by openssl."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

from msgspec import Struct


class Certificate(Struct, frozen=True):
    """One that signs itself, for some names, and its key."""

    pem: Path
    key: Path

    def server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pem, self.key)
        return context

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.pem))


def make(folder: Path, *names: str) -> Certificate:
    """Raises FileNotFoundError where there is no openssl."""
    made = Certificate(folder / "cert.pem", folder / "key.pem")
    alternatives = ",".join([*(f"DNS:{name}" for name in names), "IP:127.0.0.1"])
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-keyout", made.key, "-out", made.pem, "-subj", f"/CN={names[0]}",
         "-addext", f"subjectAltName={alternatives}"],
        check=True, capture_output=True,
    )  # fmt: skip
    return made
