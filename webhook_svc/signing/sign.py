"""The sender's side of a scheme, for simulators and tools: settings and a secret give the signature's text."""

import base64
from collections.abc import Mapping

from ..core.settings import Secret
from ..core.types import EMPTY, RawRequest
from .keys import decode_key, digest
from .message import Message
from .reading import Reading
from .verify import VerifySettings


def sign(
    settings: VerifySettings,
    secret: Secret,
    request: RawRequest,
    *,
    values: Mapping[str, str] = EMPTY,
    public_url: str = "",
) -> str:
    """What a sender puts where `settings.signature` points, without the `v1=` and the like that `pattern` skips.

    `values` are variables whose header does not exist yet: `sign(…, values={"ts": "1767225600"})`.
    Of Ed25519 the secret is the private key (base64 of the seed, `whsk_` allowed); ECDSA is not offered.
    """
    if settings.alg == "none":
        return ""
    if settings.alg == "equal":
        return secret.reveal()
    message = Message.parse(settings.message, settings.vars, public_url)
    raw = _signature(settings, secret, message.render(Reading(request, settings.body_view), values))
    return raw.hex() if settings.encoding == "hex" else base64.b64encode(raw).decode()


def _signature(settings: VerifySettings, secret: Secret, message: bytes) -> bytes:
    if settings.alg == "ed25519":
        # Imported here for the reason given in keys.checker.
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        seed = decode_key(secret.reveal().removeprefix("whsk_"), "base64")[:32]
        return Ed25519PrivateKey.from_private_bytes(seed).sign(message)
    if settings.alg == "ecdsa-p256-sha256":
        raise ValueError("ECDSA callbacks can be verified, not made")
    return digest(settings.alg, decode_key(secret.reveal(), settings.key), message)
