"""Mailgun's messages.mime, as its documentation says it refuses.

https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages/post-v3--domain-name--messages-mime,
https://documentation.mailgun.com/en/latest/api-sending.html (25 MB; "parameter is not a valid address"),
https://documentation.mailgun.com/docs/mailgun/quickstart-guide/responses; read 22 Nov 2026.
"""

from base64 import b64encode
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path

from werkzeug.formparser import parse_form_data
from werkzeug.wrappers import Request, Response

from .base import SECRETS
from .outbox import MailRig, Outbox, addresses, distinct, opened, well_formed
from .servers import Servers
from .standin import TALKATIVE, Refusal, must, only, reply

DOMAIN = "mg.acme.example"
LARGEST = 25_000_000


class Mailgun(Outbox):
    routes = (("POST", "/v3/([^/]+)/messages.mime", "send"),)

    def refused(self, refusal: Refusal) -> Response:
        if refusal.status == 401:
            return Response("Forbidden", 401)
        return reply({"message": TALKATIVE}, refusal.status)

    def send(self, request: Request, domain: str) -> Response:
        key = b64encode(f"api:{SECRETS[0]}".encode()).decode()
        must(request.headers.get("Authorization") == f"Basic {key}", 401, "Forbidden")
        must(domain == DOMAIN, 404, "Domain not found")
        must(request.mimetype == "multipart/form-data", 400, "to parameter is missing")
        body = {**request.environ, "wsgi.input": BytesIO(request.get_data())}
        _, form, files = parse_form_data(body, stream_factory=lambda *_, **__: BytesIO())
        only(form, {"to", "o:testmode"}, 400, "unknown parameter")
        only(files, {"message"}, 400, "unknown file")
        recipients = addresses(form.getlist("to"), 400, "to parameter is not a valid address")
        distinct(recipients, 1000, 400, "to parameter is missing")
        must("message" in files, 400, "message parameter is missing")
        raw = files["message"].read()
        must(len(raw) <= LARGEST, 413, "too large")
        well_formed(raw, 400, "the message cannot be read")
        mail = opened(raw, [one for one in recipients if one not in self.suppressed])
        if "o:testmode" not in form:
            self.mails.append(mail)
        return reply({"id": mail.headers["message-id"], "message": "Queued. Thank you."})


class MailgunRig(MailRig):
    kind = "mailgun"
    limit = 18_000_000

    def __init__(self, servers: Servers, tmp_path: Path, start: ExitStack) -> None:  # noqa: ARG002 - one signature
        table = {"api_key": SECRETS[0], "domain": DOMAIN}
        self.begin(start, Mailgun(), table, {"api_key": f"{SECRETS[0]}-wrong"})
