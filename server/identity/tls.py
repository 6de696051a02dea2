"""Certificates of the server's port: read at start, and for new connections once the files have changed."""

import ssl
import threading
from dataclasses import dataclass
from pathlib import Path

import grpc
import structlog

from server.errors import CertificateError

_log = structlog.get_logger("server")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The PEM files: the server's certificate chain, its key, and the authorities of callers."""

    certificate: Path
    key: Path
    client_ca: Path


_Contents = tuple[bytes, bytes, bytes]


class Certificates:
    """Gives gRPC the certificates in force; files that do not fit together change nothing."""

    def __init__(self, files: TlsFiles) -> None:
        """Reads the files.

        Raises:
            CertificateError: one cannot be read, or key and certificate do not fit.
        """
        self._files = files
        self._lock = threading.Lock()
        self._contents = _read(files)
        self._refused: _Contents | None = None

    def make_credentials(self) -> grpc.ServerCredentials:
        """Makes credentials that refuse every client without a certificate of the authorities."""
        return grpc.dynamic_ssl_server_credentials(
            _configure(self._contents),
            self._renew,  # type: ignore[arg-type]  # None, for no change, is documented.
            require_client_authentication=True,
        )

    def _renew(self) -> grpc.ServerCertificateConfiguration | None:
        """Returns other certificates for the next handshake, None for those in force; asked for each one."""
        with self._lock:
            try:
                contents = _read_bytes(self._files)
                if contents in (self._contents, self._refused):
                    return None
                # A rotation that is half done, or wrong, is refused once and told once.
                self._refused = contents
                _check(self._files)
            except CertificateError as error:
                _log.error("certificates unchanged", problem=str(error))
                return None
            self._contents, self._refused = contents, None
            _log.info("certificates read")
            return _configure(contents)


def _configure(contents: _Contents) -> grpc.ServerCertificateConfiguration:
    certificate, key, client_ca = contents
    return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=client_ca)


def _read(files: TlsFiles) -> _Contents:
    contents = _read_bytes(files)
    _check(files)
    return contents


def _read_bytes(files: TlsFiles) -> _Contents:
    try:
        return files.certificate.read_bytes(), files.key.read_bytes(), files.client_ca.read_bytes()
    except OSError as error:
        raise CertificateError(f"tls: {error.filename} cannot be read: {error.strerror}") from error


def _check(files: TlsFiles) -> None:
    """Has OpenSSL load the files: gRPC would say what is wrong in its log only, at the first handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(files.certificate, files.key, password=_refuse_password)
    except (OSError, ValueError) as error:
        raise CertificateError(
            f"tls_certificate {files.certificate} and tls_key {files.key}: {_explain(error)}"
        ) from error
    try:
        context.load_verify_locations(files.client_ca)
    except (OSError, ValueError) as error:
        raise CertificateError(f"tls_client_ca {files.client_ca}: {_explain(error)}") from error


def _refuse_password() -> str:
    """Answers OpenSSL's question for a password, which it would otherwise ask at the terminal."""
    raise ValueError("the key has a password; expected one without")


def _explain(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "no PEM of the right kind").replace("_", " ").lower()
    return str(error)
