"""An authority of one's own, and certificates from it, for servers and callers on this machine."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


class Authority:
    """Signs certificates; valid from yesterday for ten years."""

    def __init__(self, name: str = "tests") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(self.name, self.name, self.key.public_key(), datetime.now(UTC) + 3650 * DAY)
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        signed = builder.add_extension(constraints, critical=True).sign(self.key, hashes.SHA256())
        self.pem = signed.public_bytes(serialization.Encoding.PEM)

    def issue(self, *names: str, expired: bool = False) -> tuple[bytes, bytes]:
        """Returns a certificate with these URIs as names, and 127.0.0.1, with its key, both PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "someone")])
        until = datetime.now(UTC) + (-timedelta(hours=1) if expired else 30 * DAY)
        uris: list[x509.GeneralName] = [x509.UniformResourceIdentifier(name) for name in names]
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = _builder(subject, self.name, key.public_key(), until).add_extension(
            x509.SubjectAlternativeName([*uris, address]), critical=False
        )
        signed = builder.sign(self.key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM), _dump(key)

    def credentials(self, *names: str, expired: bool = False) -> grpc.ChannelCredentials:
        """Returns a caller's credentials with these names."""
        certificate, key = self.issue(*names, expired=expired)
        return grpc.ssl_channel_credentials(self.pem, key, certificate)


def write_server_files(authority: Authority, directory: Path) -> dict[str, Path]:
    """Writes a server's certificate, key and authority; returns the settings that name them."""
    directory.mkdir(parents=True, exist_ok=True)
    certificate, key = authority.issue()
    contents = {"tls-certificate": certificate, "tls-key": key, "tls-client-ca": authority.pem}
    for name, data in contents.items():
        (directory / f"{name}.pem").write_bytes(data)
    return {name: directory / f"{name}.pem" for name in contents}


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - DAY)
        .not_valid_after(until)
    )


def _dump(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
