"""The sender's side of a scheme, for simulators and tools: settings and a secret give the signature's text."""

import base64
from collections.abc import Mapping
from dataclasses import replace

from ..core.settings import Secret
from ..core.types import EMPTY, RawRequest
from .keys import PUBLIC_KEY_ALGORITHMS, decode_key, digest
from .reading import Place, Reading
from .rfc9421.components import Components, identifier
from .rfc9421.message_signatures import DIGEST, INPUT, base_of, content_digest, only_input
from .settings import VerifySettings


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
    With `message = "{base}"` the request's Signature-Input says what is signed, and the label is part of the text;
    `signed_message` makes both. Of Ed25519 the secret is the private key (base64 of the seed, `whsk_` allowed); ECDSA
    and RSA are not offered.
    """
    if settings.alg == "none":
        return ""
    if settings.alg in ("equal", "client-certificate"):
        plain = secret.reveal()
        return base64.b64encode(plain.encode()).decode() if settings.encoding == "base64" else plain
    label, message = _message(settings, request, values, public_url)
    raw = _signature(settings, secret, message)
    if label:
        return f"{label}=:{base64.b64encode(raw).decode()}:"
    return raw.hex() if settings.encoding == "hex" else base64.b64encode(raw).decode()


def signed_message(
    settings: VerifySettings,
    secret: Secret,
    request: RawRequest,
    *,
    created: int,
    keyid: str = "",
    label: str = "sig1",
    public_url: str = "",
) -> RawRequest:
    """The request with Content-Digest, Signature-Input and Signature, which cover what `settings.covers` demands, and
    the body where it demands nothing. For `message = "{base}"`."""
    covered = " ".join(map(identifier, settings.covers or (DIGEST,)))
    parameters = f';created={created};alg="{settings.alg}"' + (f';keyid="{keyid}"' if keyid else "")
    ours = ((DIGEST, content_digest(request.body)), (INPUT, f"{label}=({covered}){parameters}"))
    names = {DIGEST, INPUT, Place.parse(settings.signature).name}
    others = tuple((name, value) for name, value in request.headers if name not in names)
    unsigned = replace(request, headers=(*others, *ours))
    text = sign(settings, secret, unsigned, public_url=public_url)
    return replace(unsigned, headers=(*unsigned.headers, (Place.parse(settings.signature).name, text)))


def _message(
    settings: VerifySettings, request: RawRequest, values: Mapping[str, str], public_url: str
) -> tuple[str, bytes]:
    """The label, where there is one, and what is signed."""
    message = settings.template(public_url)
    if not message.uses("base"):
        return "", message.render(Reading(request, settings.body_view), values)
    label, covered = only_input(request)
    return label, base_of(covered, Components(request, public_url))


def _signature(settings: VerifySettings, secret: Secret, message: bytes) -> bytes:
    if settings.alg == "ed25519":
        # Imported here for the reason given in keys.checker.
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        seed = decode_key(secret.reveal().removeprefix("whsk_"), "base64")[:32]
        return Ed25519PrivateKey.from_private_bytes(seed).sign(message)
    if settings.alg in PUBLIC_KEY_ALGORITHMS:
        raise ValueError("callbacks signed with ECDSA or RSA can be verified, not made")
    return digest(settings.alg, decode_key(secret.reveal(), settings.key), message)
