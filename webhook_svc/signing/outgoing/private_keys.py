"""Private keys of our own, as people write them into a configuration."""

from typing import TYPE_CHECKING

from ...core.settings import Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey


def rsa_private_key(key: Secret) -> "RSAPrivateKey":
    """The key of a PEM text, whose line ends may be written `\\n` as an environment variable likes them. ValueError,
    without a word of it, where it is no RSA key or has a password."""
    # Imported here: most installations have no such key and need not hold OpenSSL's bindings in memory.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        loaded = load_pem_private_key(key.reveal().replace("\\n", "\n").encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        loaded = None
    if not isinstance(loaded, RSAPrivateKey):
        raise ValueError("an RSA private key in PEM form, without a password")
    return loaded
