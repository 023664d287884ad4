"""A sender that nobody has written code for: verification, events and download are described in the configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..core.settings import Secret, setting, too_short
from ..core.traits import Traits
from ..profiles.description import Description
from ..profiles.kinds import ANY_URL
from ..profiles.provider import Described
from ..profiles.steps import trusted_hosts
from ..signing.presets import PRESETS
from ..signing.verify import Verifier

_GUIDE = """\
Describe the sender in the configuration; no code is needed. A path is `/a/b` or `a.b` into the JSON body, or
`header:NAME`. Templates may use the names under `values`, `{document}`, `{round}`, `{name}`, `{source}`, and what
`take` found. Try it with `webhook-svc verify inhouse REQUEST-FILE` before you switch it on.

```toml
[sources.inhouse]
provider = "generic"
secrets = ["${INHOUSE_SECRET}"]
sinks = ["archive"]
[sources.inhouse.values]
api_base = "https://contracts.acme.example/api"
api_key = "${INHOUSE_API_KEY}"
[sources.inhouse.verify]
alg = "hmac-sha256"
message = "{ts}.{body}"
signature = "header:X-Signature"
pattern = "v1=([0-9a-f]{64})"
vars = { ts = "header:X-Signature ~ t=(\\\\d+)" }
tolerance = 300
[sources.inhouse.event]
id = "/id"
type = "/type"
ready = ["contract.completed"]
document = "/data/contract_id"
[[sources.inhouse.download]]
get = "{api_base}/contracts/{document}"
headers = { Authorization = "Bearer {api_key}" }
expect = { "/status" = "finished" }
take = { link = "/data/url" }
[[sources.inhouse.download]]
get = "{link}"
save = "document"
```

A sender that signs as many others do needs one word, `verify = { preset = "stripe" }`; what is written beside it wins.
The presets are:

"""
_CERTIFICATES = """

For `client-certificate` the proxy must set the header itself on every request, so that what a client sent never passes;
in nginx, `ssl_verify_client on;` and `proxy_set_header Client-Cert $ssl_client_escaped_cert;`. Name its address in
`proxies` of the source. `openssl x509 -in client.pem -noout -fingerprint -sha256` prints what belongs into `secrets`.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenericSettings(Description):
    secrets: tuple[Secret, ...] = setting("secrets or public keys; two during a rotation", ())
    values: Mapping[str, Secret] = setting("names that templates may use: addresses, keys, ids", factory=dict)

    def __post_init__(self) -> None:
        Description.__post_init__(self)
        Verifier(self.verify, self.secrets, ANY_URL)
        self.check(self.values)
        trusted_hosts(self.asked, self.revealed)

    @property
    def revealed(self) -> dict[str, str]:
        return {name: value.reveal() for name, value in self.values.items()}


class Generic(Described):
    """One sender, described."""

    Settings = GenericSettings
    settings: GenericSettings
    guide: ClassVar[str] = "".join(
        (_GUIDE, "\n".join(f"- `{name}`: {preset.doc}" for name, preset in PRESETS.items()), _CERTIFICATES)
    )
    traits: ClassVar[Traits] = Traits(
        verify="as you describe it",
        handshake="as you describe it",
        parts=("document", "certificate", "audit"),
        lists=True,
        inferred="everything: it is your description",
    )

    def __init__(self, source: str, settings: Any, public_url: str = "") -> None:
        super().__init__(source, settings, public_url)
        self.described = self.settings
        self.values = self.settings.revealed
        self.secrets = self.settings.secrets

    def warnings(self) -> list[str]:
        shared = self.described.verify.alg == "equal" or self.described.verify.alg.startswith("hmac-")
        return [*super().warnings(), *(too_short(self.secrets) if shared else [])]
