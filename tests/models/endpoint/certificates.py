"""Certificates for tests of TLS, made by openssl."""

import ssl
import subprocess
from pathlib import Path as File


def make_certificates(folder: File) -> None:
    """An authority, and what it has signed: for the server, and for a client."""
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-x509"]
    # Python 3.13 checks certificates to the letter (VERIFY_X509_STRICT): an authority must say what its key is for.
    usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    openssl(folder, *new, *usage, "-subj", "/CN=Tests", "-keyout", "ca.key", "-out", "ca.pem")
    for name in ("server", "client"):
        signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-subj", f"/CN={name}"]
        more = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
        openssl(folder, *new, *signed, *more, "-keyout", f"{name}.key", "-out", f"{name}.pem")
    both = (folder / "client.pem").read_text() + (folder / "client.key").read_text()
    (folder / "both.pem").write_text(both)


def openssl(folder: File, *arguments: str) -> None:
    subprocess.run(["openssl", "req", *arguments], cwd=folder, check=True, capture_output=True, timeout=30)


def server_context(certificates: File, *, wants_client: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificates / "ca.pem"))
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED if wants_client else ssl.CERT_NONE
    return context
