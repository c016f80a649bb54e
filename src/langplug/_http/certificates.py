"""TLS as `verify` and `client_cert` want it."""

import ssl
from typing import Any

from langchain_core.exceptions import ModelInvalidRequestError


class CertificateFileError(ModelInvalidRequestError, OSError):
    """A file of certificates is not there, or is not what it should be. The error names the setting and the file."""


class MissingCertificateFileError(CertificateFileError, FileNotFoundError):
    """A file of certificates is not there."""


def tls_context(verify: bool | str, client_cert: str | tuple[str, str] | None = None) -> ssl.SSLContext:
    """The settings of TLS. It reads files, which an event loop must not wait for.

    Raises:
        CertificateFileError: If a file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    except OSError as error:
        raise _file_error("verify", verify, error, "the certificates of the authorities to trust") from None
    if client_cert is not None:
        files = (client_cert,) if isinstance(client_cert, str) else client_cert
        try:
            context.load_cert_chain(*files)
        except OSError as error:
            raise _file_error("client_cert", client_cert, error, "a certificate and its key") from None
    return context


def _file_error(setting: str, value: Any, error: Exception, expected: str) -> CertificateFileError:
    # OpenSSL's errors name no file, and are as short as "[SSL] PEM lib".
    why = getattr(error, "strerror", None) or str(error)
    files = "a file" if isinstance(value, str) else "two files"
    kind = MissingCertificateFileError if isinstance(error, FileNotFoundError) else CertificateFileError
    return kind(
        f"{setting}={value!r} cannot be used: {why}. It must be {files} in PEM format (-----BEGIN CERTIFICATE-----) "
        f"with {expected}."
    )
