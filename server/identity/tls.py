"""Certificates of the server's port: read at start, and for new connections once the files have changed."""

import ssl
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import grpc
import structlog

from server.errors import CertificateError
from server.identity.certificates import read_end

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
        self._problem = ""

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
                if contents == self._contents:
                    self._refused, self._problem = None, ""
                    return None
                if contents == self._refused:
                    return None
                # A rotation that is half done, or wrong, is refused once.
                self._refused = contents
                _check(self._files)
                if _read_bytes(self._files) != contents:
                    # OpenSSL has seen other files than those that were read: the next handshake looks again.
                    self._refused = None
                    return None
            except CertificateError as error:
                self._tell_once(str(error))
                return None
            self._contents, self._refused, self._problem = contents, None, ""
            _log.info("certificates read")
            return _configure(contents)

    def _tell_once(self, problem: str) -> None:
        """Says why nothing changes; a file that stays away would fill the log, a line for each connection."""
        if problem != self._problem:
            _log.error("certificates unchanged", problem=problem)
        self._problem = problem


def _configure(contents: _Contents) -> grpc.ServerCertificateConfiguration:
    certificate, key, client_ca = contents
    return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=client_ca)


def _read(files: TlsFiles) -> _Contents:
    contents = _read_bytes(files)
    _check(files)
    return contents


def _read_bytes(files: TlsFiles) -> _Contents:
    certificate = _read_file("tls_certificate", files.certificate)
    return certificate, _read_file("tls_key", files.key), _read_file("tls_client_ca", files.client_ca)


def _read_file(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(f"{setting} {path} cannot be read: {error.strerror}") from error


def _check(files: TlsFiles) -> None:
    """Has OpenSSL load the files: gRPC would say what is wrong in its log only, at the first handshake.

    A certificate that is good no longer is refused, too: with it every caller would refuse the server.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(files.certificate, files.key, password=_refuse_password)
    except (OSError, ValueError) as error:
        raise CertificateError(
            f"tls_certificate {files.certificate} and tls_key {files.key}: {_explain(error)}"
        ) from error
    end = read_end(files.certificate.read_bytes())
    if end <= datetime.now(UTC):
        raise CertificateError(f"tls_certificate {files.certificate}: was good until {end.isoformat()}")
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
