"""A mail in one request: what the services that send over HTTPS have in common, whatever they call things."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from email.header import Header
from email.headerregistry import Address
from functools import partial
from typing import Any, Final

from ...core.errors import Permanent, WebhookError
from ...core.ids import digest
from ...core.outgoing import Answer, Request, Upload
from ...core.ports import Clock, Http, Progress
from ...core.types import Delivery, Receipt
from ..shared.once import Once, unsure
from ..shared.pieces import in_base64, joined
from ..shared.upload import held_back
from .letter import Attachment, Letter, LetterSettings, Writer
from .mime import GROWS

PROOF: Final = "accepted by the service"
_LONGEST_ID: Final = 200
_AROUND: Final = 20_000
"""Bytes for the text and the headers of a mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a service says of a mail that it took: its own `id` for it, and which recipients get none."""

    id: str
    left_out: tuple[str, ...] = ()


class Mailing:
    """Sends one mail to all recipients, and remembers that it did. `most` is how many bytes the service takes."""

    def __init__(
        self, settings: LetterSettings, http: Http, clock: Clock, *, most: int, keys_last: float = 0.0
    ) -> None:
        """`keys_last`: seconds in which the service knows a repeat by its key, and does nothing then."""
        self._settings = settings
        self._writer = Writer(settings)
        self._http = http
        self._clock = clock
        self._most = int((most - _AROUND) / GROWS)
        self._keys_last = keys_last

    @property
    def sender(self) -> Address:
        return self._writer.sender

    def send(
        self,
        delivery: Delivery,
        progress: Progress,
        *,
        request: Callable[[Letter], Request],
        taken: Callable[[Answer], Taken],
        refused: Callable[[Answer], WebhookError],
        doubtful: Callable[[Answer], bool] = unsure,
    ) -> Receipt:
        """`request` words the letter as the service wants it, `taken` and `refused` read what it says to that.

        `doubtful`: whether the mail may go out although the answer is a no.
        """
        once = Once(delivery, progress)
        found = once.known is not None
        plan = self._plan(delivery, once)
        letter = _each_once(self._writer.write(delivery, **plan))
        if not found:
            harmless = self._clock() - plan["date"] < self._keys_last
            answer = self._http.call(_begun(request(letter), partial(once.begin, harmless, **plan)))
            if not answer.ok:
                if not doubtful(answer):
                    once.refused()
                raise refused(answer)
            said = taken(answer)
            to = [_key(one) for one in self._settings.recipients()]
            once.done(id=said.id[:_LONGEST_ID], left_out=[_key(one) for one in said.left_out], to=to, **plan)
        return self._receipt(letter, once, found=found)

    def _plan(self, delivery: Delivery, once: Once) -> dict[str, Any]:
        """That of an earlier try that may have gone through: its mail is sent again as it was."""
        if before := once.known or once.begun:
            return {"date": before["date"], "attached": before["attached"]}
        return {"date": self._clock(), "attached": self._writer.fits(delivery, self._most)}

    def _receipt(self, letter: Letter, once: Once, *, found: bool) -> Receipt:
        known, recipients = once.known or {}, self._settings.recipients()
        if left_out := [one for one in recipients if _key(one) in known["left_out"]]:
            raise Permanent(f"the service sends nothing to {_masked(left_out)}; all other recipients have it")
        if later := [one for one in recipients if _key(one) not in known.get("to", map(_key, recipients))]:
            raise Permanent(f"it was sent before the settings named {_masked(later)}, who have to be sent it by hand")
        details = {
            "id": known["id"],
            "recipients": recipients,
            "repeats": once.repeats,
            "attached": [one.sha256 for one in letter.attachments],
        }
        return Receipt(location=", ".join(recipients), proof=PROOF, found=found, details=details)


def check_recipients(settings: LetterSettings, most: int) -> None:
    """ValueError where the service would not take them."""
    if not settings.to:
        raise ValueError("at least one recipient in to")
    if len(settings.recipients()) > most:
        raise ValueError(f"at most {most} recipients")


def in_json(head: Mapping[str, Any], key: str, files: Iterable[tuple[Mapping[str, Any], str, Attachment]]) -> Upload:
    """The object `head`, with a list of the files under `key` where there are any, as a stream.

    A file is its own object and the name under which its Base64 stands there.
    """
    pieces: list[bytes | Upload] = [json.dumps(head).encode()[:-1]]
    between = f', "{key}": ['
    for about, name, file in files:
        pieces += [f'{between}{json.dumps(about)[:-1]}, "{name}": "'.encode(), in_base64(_upload(file)), b'"}']
        between = ", "
    return joined(*pieces, b"]}" if len(pieces) > 1 else b"}")


def post(url: str, body: Upload, auth: Mapping[str, str], **headers: str) -> Request:
    """A request that carries JSON, and is answered in it."""
    kinds = {"Content-Type": "application/json", "Accept": "application/json"}
    return Request(method="POST", url=url, headers={**kinds, **headers}, auth=auth, body=body)


def header_value(text: str) -> str:
    """In ASCII, as RFC 2047 writes what is beyond it."""
    return text if text.isascii() else Header(text, "utf-8").encode().replace("\n", "")


def said_in(answer: Answer) -> Mapping[str, Any]:
    """The JSON object of an answer; empty where it is none: a mail that was taken is taken, whatever is said of it."""
    try:
        found = json.loads(answer.body)
    except ValueError:
        return {}
    return found if isinstance(found, Mapping) else {}


def _each_once(letter: Letter) -> Letter:
    """Some refuse a mail that names an address twice."""
    to = _new(letter.to, ())
    cc = _new(letter.cc, to)
    return replace(letter, to=to, cc=cc, bcc=_new(letter.bcc, (*to, *cc)))


def _new(some: tuple[Address, ...], named: tuple[Address, ...]) -> tuple[Address, ...]:
    before = {one.addr_spec.lower() for one in named}
    some = tuple(one for one in some if one.addr_spec.lower() not in before)
    return tuple({one.addr_spec.lower(): one for one in reversed(some)}.values())[::-1]


def _begun(request: Request, begin: Callable[[], None]) -> Request:
    """Its last bytes leave when all files are proved, and after `begin`: until then the service has nothing."""
    body = request.body
    if not isinstance(body, Upload):
        raise TypeError("a mail is streamed")
    return replace(request, body=Upload(open=partial(held_back, body.open, begin), size=body.size))


def _upload(file: Attachment) -> Upload:
    return Upload(open=file.open, size=file.size)


def _key(recipient: str) -> str:
    """The memory holds no address."""
    return digest("recipient", recipient).hex()[:12]


def _masked(recipients: list[str]) -> str:
    shown = ", ".join(f"{one[0]}***@{one.rpartition('@')[2]}" for one in recipients[:5])
    return f"{len(recipients)} of the recipients ({shown})"
