"""Reads certificates: the names in a caller's, and until when the server's own is good.

gRPC's own list of names ends each of them at a NUL: a certificate of "feed", NUL, ".example.org" would be
taken for one of "feed".
"""

from datetime import datetime
from functools import lru_cache

from cryptography import x509

_KINDS = (x509.DNSName, x509.UniformResourceIdentifier, x509.RFC822Name, x509.IPAddress)


@lru_cache(maxsize=1024)
def read_names(pem: bytes) -> tuple[str, ...]:
    """Returns the subject alternative names of a certificate; none where it cannot be read.

    Args:
        pem: the certificate, which the handshake has proven to be an authority's.
    """
    try:
        extensions = x509.load_pem_x509_certificate(pem).extensions
        found = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return ()
    return tuple(str(name) for kind in _KINDS for name in found.get_values_for_type(kind))


def read_end(pem: bytes) -> datetime:
    """Returns when the first certificate of a chain is good no longer.

    Raises:
        ValueError: there is no certificate.
    """
    return x509.load_pem_x509_certificate(pem).not_valid_after_utc
