"""Profiles that sign by a standard are played by the same simulator: what it sends, their verifier believes."""

from pathlib import Path

import pytest

from webhook_svc.core.errors import NotGenuine
from webhook_svc.core.settings import Secret
from webhook_svc.signing.verify import Verifier
from webhook_svc.simulators.described import kind_of

PROFILE = """
[profile]
what = "Acme: contracts."
[settings]
api_base = {{ kind = "address", doc = "address of the API" }}
[verify]
{verify}
[event]
type = "/type"
ready = ["done"]
document = "/id"
[[download]]
get = "{{api_base}}/c/{{document}}"
save = "document"
[simulate]
callback = {{ type = "done", id = "{{document}}" }}
{simulate}
"""
TIMED = "headers = { webhook-id = '{id}', webhook-timestamp = '{ts}' }"
STANDARDS = {
    'preset = "rfc9421"': "",
    'preset = "rfc9421"\nkeyids = ["k1"]\ncovers = ["content-digest", "content-type"]': "",
    'preset = "standard-webhooks"': f'secret = "whsec_{{secret}}"\nsignature = "v1,{{signature}}"\n{TIMED}',
    'preset = "stripe"': 'signature = "t={ts},v1={signature}"',
    'preset = "slack"': 'signature = "v0={signature}"\nheaders = { x-slack-request-timestamp = "{ts}" }',
    'preset = "github"': 'signature = "sha256={signature}"',
    'preset = "shopify"': "",
    'preset = "token"': "",
    'preset = "bearer"': 'signature = "Bearer {signature}"',
    'preset = "basic"': 'signature = "Basic {signature}"',
}


@pytest.mark.parametrize("verify", STANDARDS)
def test_what_the_simulator_of_a_profile_sends_is_believed_and_spoiled_is_not(verify: str, tmp_path: Path) -> None:
    file = tmp_path / "acme.toml"
    file.write_text(PROFILE.format(verify=verify, simulate=STANDARDS[verify]))
    simulator = kind_of(file)()
    (callback,) = simulator.finish("c-1")
    secrets = [Secret(text) for text in simulator.source("http://127.0.0.1")["secrets"]]
    checked = Verifier(simulator.described.verify, secrets)
    assert checked.verify(callback, simulator.clock())
    simulator.misbehave("wrong_signature")
    (spoiled,) = simulator.finish("c-2")
    with pytest.raises(NotGenuine):
        checked.verify(spoiled, simulator.clock())
