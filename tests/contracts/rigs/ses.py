"""Amazon SES, API v2, as its documentation says it refuses.

https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html and API_GetAccount.html, the model of both
that botocore carries (sesv2, 2019-09-27), https://docs.aws.amazon.com/ses/latest/dg/quotas.html and
attachments.html; read 22 Nov 2026. Signatures are checked by botocore.
"""

import hashlib
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from email import message_from_bytes
from email.utils import parseaddr
from pathlib import Path

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from werkzeug.wrappers import Request, Response

from .base import SECRETS
from .outbox import MailRig, Outbox, addresses, decoded, distinct, opened, verified, well_formed
from .servers import Servers
from .standin import TALKATIVE, Refusal, json_of, must, only, reply

REGION = "eu-central-1"
LARGEST = 40_000_000
_FORBIDDEN = (".ade", ".bat", ".cmd", ".com", ".exe", ".js", ".msi", ".scr", ".vbs")


class Amazon(Outbox):
    routes = (("POST", "/v2/email/outbound-emails", "send"), ("GET", "/v2/email/account", "account"))

    def __init__(self) -> None:
        super().__init__()
        self.sandbox = False
        self.paused = False

    def refused(self, refusal: Refusal) -> Response:
        return reply({"message": TALKATIVE}, refusal.status, {"x-amzn-ErrorType": f"{refusal.code}:http://internal/"})

    def account(self, request: Request) -> Response:
        _check_signature(request)
        return reply({"SendingEnabled": not self.paused, "ProductionAccessEnabled": not self.sandbox})

    def send(self, request: Request) -> Response:
        _check_signature(request)
        wanted = json_of(request)
        only(
            wanted,
            {"FromEmailAddress", "Destination", "Content", "ConfigurationSetName"},
            400,
            "SerializationException",
        )
        must(wanted.get("ConfigurationSetName", "contracts") == "contracts", 404, "NotFoundException")
        must(not self.paused, 400, "SendingPausedException")
        recipients = self._recipients(wanted)
        only(wanted["Content"], {"Raw"}, 400, "BadRequestException")
        raw = decoded(wanted["Content"]["Raw"].get("Data"), 400, "SerializationException")
        must(len(raw) <= LARGEST, 400, "BadRequestException")
        well_formed(raw, 400, "BadRequestException")
        verified(wanted["FromEmailAddress"], 400, "MessageRejected")
        verified(parseaddr(message_from_bytes(raw)["From"])[1], 400, "MessageRejected")
        mail = opened(raw, [one for one in recipients if one not in self.suppressed])
        must(not any(name.lower().endswith(_FORBIDDEN) for name in mail.files), 400, "MessageRejected")
        self.mails.append(mail)
        return reply({"MessageId": f"0102-{len(self.mails)}"})

    def _recipients(self, wanted: dict[str, object]) -> list[str]:
        destination = wanted["Destination"]
        if not isinstance(destination, dict):
            raise Refusal(400, "SerializationException")
        only(destination, {"ToAddresses", "CcAddresses", "BccAddresses"}, 400, "SerializationException")
        found = [one for some in destination.values() for one in addresses(some, 400, "BadRequestException")]
        distinct(found, 50, 400, "BadRequestException")
        must(not self.sandbox, 400, "MessageRejected")
        return found


def _check_signature(request: Request) -> None:
    stamp = request.headers.get("x-amz-date", "")
    must(request.headers.get("Authorization"), 403, "MissingAuthenticationTokenException")
    must(request.headers.get("x-amz-security-token") == SECRETS[3], 403, "UnrecognizedClientException")
    sent = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    must(abs(sent - time.time()) < 300, 403, "InvalidSignatureException")
    body = hashlib.sha256(request.get_data()).hexdigest()
    must(request.headers.get("x-amz-content-sha256") == body, 403, "InvalidSignatureException")
    must(request.headers["Authorization"] == _signature(request, stamp), 403, "InvalidSignatureException")


def _signature(request: Request, stamp: str) -> str:
    names = request.headers["Authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    must(
        {"host", "x-amz-date", "content-type"} <= {*names, "content-type" if request.method == "GET" else ""}, 403, "x"
    )
    headers = {name: request.headers[name] for name in names}
    signed = AWSRequest(request.method, request.url, headers=headers, data=request.get_data())
    signed.context["timestamp"] = stamp
    signer = SigV4Auth(Credentials(SECRETS[1], SECRETS[2]), "ses", REGION)
    signature = signer.signature(signer.string_to_sign(signed, signer.canonical_request(signed)), signed)
    scope = f"{SECRETS[1]}/{stamp[:8]}/{REGION}/ses/aws4_request"
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={';'.join(names)}, Signature={signature}"


class SesRig(MailRig):
    kind = "ses"
    limit = 28_000_000

    def __init__(self, servers: Servers, tmp_path: Path, start: ExitStack) -> None:  # noqa: ARG002 - one signature
        keys = {"access_key_id": SECRETS[1], "secret_access_key": SECRETS[2], "session_token": SECRETS[3]}
        self.begin(start, Amazon(), {**keys, "region": REGION}, {"secret_access_key": f"{SECRETS[2]}-wrong"})
