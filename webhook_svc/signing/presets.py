"""The ways to sign that many senders share, by name: what `preset` fills into the settings of a verifier.

Sources: https://github.com/standard-webhooks/standard-webhooks (spec/standard-webhooks.md),
https://docs.svix.com/receiving/verifying-payloads/how-manual, https://docs.stripe.com/webhooks#verify-manually,
https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries,
https://api.slack.com/authentication/verifying-requests-from-slack,
https://shopify.dev/docs/apps/build/webhooks/subscribe/https, RFC 9421, RFC 6750, RFC 7617, RFC 9440.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

TOLERANCE: Final = 300
"""Seconds that a signed time may be away from now: what the senders' own libraries allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """`doc` is one sentence for people; `fields` are settings of a verifier."""

    doc: str
    fields: Mapping[str, Any]


def _preset(doc: str, **fields: Any) -> Preset:
    return Preset(doc=doc, fields=MappingProxyType(fields))


def _standard(doc: str, prefix: str, version: str, **fields: Any) -> Preset:
    return _preset(
        doc,
        message="{id}.{ts}.{body}",
        encoding="base64",
        signature=f"header:{prefix}-Signature",
        pattern=rf"(?:^| ){version},([^ ]*)",
        vars=MappingProxyType({"id": f"header:{prefix}-Id", "ts": f"header:{prefix}-Timestamp"}),
        tolerance=TOLERANCE,
        **fields,
    )


PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        "standard-webhooks": _standard(
            "Standard Webhooks with a shared secret (v1, whsec_…), in Webhook-Id, -Timestamp and -Signature",
            "Webhook",
            "v1",
            alg="hmac-sha256",
            key="whsec",
        ),
        "standard-webhooks-v1a": _standard(
            "Standard Webhooks with the sender's public key (v1a, whpk_…), in the same headers",
            "Webhook",
            "v1a",
            alg="ed25519",
            key="whpk",
        ),
        "svix": _standard(
            "what Svix sends for its customers: Standard Webhooks in Svix-Id, -Timestamp and -Signature",
            "Svix",
            "v1",
            alg="hmac-sha256",
            key="whsec",
        ),
        "stripe": _preset(
            "as Stripe signs: t=…,v1=… in Stripe-Signature, over the time and the body",
            alg="hmac-sha256",
            message="{ts}.{body}",
            signature="header:Stripe-Signature",
            pattern=r"(?:^|,)\s*v1=([^,]*)",
            vars=MappingProxyType({"ts": r"header:Stripe-Signature ~ (?:^|,)\s*t=([^,]*)"}),
            tolerance=TOLERANCE,
        ),
        "github": _preset(
            "as GitHub signs: sha256=… in X-Hub-Signature-256, over the body",
            alg="hmac-sha256",
            message="{body}",
            signature="header:X-Hub-Signature-256",
            pattern="^sha256=([0-9a-fA-F]{64})$",
        ),
        "slack": _preset(
            "as Slack signs: v0=… in X-Slack-Signature, over the time in X-Slack-Request-Timestamp and the body",
            alg="hmac-sha256",
            message="v0:{ts}:{body}",
            signature="header:X-Slack-Signature",
            pattern="^v0=([0-9a-fA-F]{64})$",
            vars=MappingProxyType({"ts": "header:X-Slack-Request-Timestamp"}),
            tolerance=TOLERANCE,
        ),
        "shopify": _preset(
            "as Shopify signs: base64 in X-Shopify-Hmac-Sha256, over the body",
            alg="hmac-sha256",
            message="{body}",
            encoding="base64",
            signature="header:X-Shopify-Hmac-Sha256",
        ),
        "rfc9421": _preset(
            "HTTP Message Signatures that cover Content-Digest; `alg` may be another one, with `key` as it is written",
            alg="hmac-sha256",
            message="{base}",
            encoding="base64",
            signature="header:Signature",
            covers=("content-digest",),
            tolerance=TOLERANCE,
        ),
        "token": _preset(
            "the secret itself in the header X-Webhook-Token, or wherever `signature` says: nothing is signed",
            alg="equal",
            signature="header:X-Webhook-Token",
        ),
        "bearer": _preset(
            "the secret itself as Authorization: Bearer …: nothing is signed",
            alg="equal",
            signature="header:Authorization",
            pattern="^(?i:bearer) +([^ ]+) *$",
        ),
        "basic": _preset(
            "a user and a password, written user:password in `secrets`, as Authorization: Basic …: nothing is signed",
            alg="equal",
            encoding="base64",
            signature="header:Authorization",
            pattern="^(?i:basic) +([^ ]+) *$",
        ),
        "client-certificate": _preset(
            "mutual TLS that a proxy of yours ends: it passes the certificate on in the header that `signature` names, "
            "`secrets` are SHA-256 fingerprints of those allowed, and the source names the proxy in `proxies`",
            alg="client-certificate",
            signature="header:Client-Cert",
        ),
    }
)
