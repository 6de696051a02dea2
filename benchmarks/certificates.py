"""Makes an authority, and certificates from it, for servers and callers that are measured."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

VALID_DAYS: Final = 2


@dataclass(frozen=True)
class Issued:
    """A certificate and its key, both PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """Signs certificates for 127.0.0.1 and for names of callers."""

    def __init__(self) -> None:
        """Makes the authority's own certificate."""
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "benchmarks")])
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        self.pem = self._sign(self._name, self._key.public_key(), constraints, critical=True)

    def issue(self, *names: str) -> Issued:
        """Issues a certificate with these URIs as names, and 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "someone")])
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        alternatives = [*(x509.UniformResourceIdentifier(name) for name in names), address]
        signed = self._sign(
            subject, key.public_key(), x509.SubjectAlternativeName(alternatives), critical=False
        )
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return Issued(signed, private)

    def write_server_files(self, directory: Path) -> tuple[Path, Path, Path]:
        """Writes a server's certificate, its key and this authority; returns their paths."""
        issued = self.issue()
        paths = directory / "certificate.pem", directory / "key.pem", directory / "authority.pem"
        for path, data in zip(paths, (issued.certificate, issued.key, self.pem), strict=True):
            path.write_bytes(data)
        return paths

    def _sign(
        self,
        subject: x509.Name,
        public_key: ec.EllipticCurvePublicKey,
        extension: x509.ExtensionType,
        *,
        critical: bool,
    ) -> bytes:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=VALID_DAYS))
            .add_extension(extension, critical=critical)
        )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
