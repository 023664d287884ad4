"""A notice in any of the chats that the library Apprise knows: Matrix, Telegram, Discord, ntfy and many more."""

import logging
import re
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import apprise

from ..core.errors import Permanent, Retryable, WebhookError
from ..core.ports import Http, Progress, Sink
from ..core.settings import Secret, setting
from ..core.types import Delivery, Receipt
from .shared.notice import TEXT, judged, words
from .shared.once import Once

_LONGEST: Final = 3000
_LONGEST_TITLE: Final = 250
_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,40}://.+")
_CODE: Final = re.compile(r"\berror=(\d{3})\b")
_NO_CONNECTION: Final = re.compile(r"NewConnectionError|NameResolutionError|ConnectTimeoutError")
_UNREACHED, _BROKE_OFF, _SENT = "nobody was reached", "the connection broke off", "something was sent"
_WORD: Final = re.compile(r"[\w .()/+&-]{1,40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AppriseSettings:
    url: Secret = setting("One address as Apprise writes it, such as ntfy://host/topic; a secret.")
    title: str = setting("Template of the title, where the service has titles.", "Signed: {title}")
    text: str = setting("Template of the notice; {files} lists the files.", TEXT)
    timeout: float = setting("Seconds that the service may take.", 60.0)

    def __post_init__(self) -> None:
        if not _ADDRESS.fullmatch(self.url.reveal().strip()):
            raise ValueError("one address such as ntfy://host/topic")
        judged(self.title)
        judged(self.text)
        if not 1 <= self.timeout <= 600:
            raise ValueError("a timeout between 1 and 600 seconds")


class Apprise(Sink):
    """Tells of a delivery; the files stay where they are."""

    Settings = AppriseSettings
    settings: AppriseSettings
    create_only: ClassVar[bool] = False
    carries_files: ClassVar[bool] = False
    proof: ClassVar[str] = "Apprise says that the service took it"
    guide: ClassVar[str] = """\
Needs the extra: `pip install 'webhook-svc[notify]'`. The addresses of more than a hundred services are explained at
https://appriseit.com/services/. For several chats configure several sinks: each is then tried on its own. Slack and
Teams have sinks of their own here, which tell more of what went wrong.

**Permissions:** what the address holds; it is treated as a secret as a whole.

**Network:** the library opens its own connections. What this service otherwise sees to does not hold for them: the
rules on addresses (`allow_hosts`), `[http] proxy`, its time-outs and its certificates (`ca_file`). The environment's
proxies (`HTTPS_PROXY`) count instead. So let nobody choose the address whom you would not let choose a host in your
network.

**Retry:** Apprise says yes or no, and after a no the notice may have arrived all the same, unless nobody could be
reached. It is sent again, for to be told twice is better than never, and the receipt counts it (`repeats`). What was
accepted is not sent again.

**Limits:** no files. A text ends after 3000 characters, a title after 250; the service may have less. `check` only
reads the address: whether the service takes it, a notice shows.
"""

    def __init__(self, name: str, settings: Any, http: Http) -> None:
        super().__init__(name, settings, http)
        _quiet()
        self._asset = apprise.AppriseAsset(
            async_mode=False,
            secure_logging=True,
            storage_mode=apprise.PersistentStoreMode.MEMORY,
            service_timeout=self.settings.timeout,
        )

    def deliver(self, delivery: Delivery, progress: Progress) -> Receipt:
        once = Once(delivery, progress)
        if once.known is not None:
            return self._receipt(once, str(once.known["service"]), found=True)
        service = self._service()
        title = words(self.settings.title, delivery, _LONGEST_TITLE, _calling_nobody)
        text = words(self.settings.text, delivery, _LONGEST, _calling_nobody)
        once.begin()
        plain = apprise.NotifyFormat.TEXT
        with service.notify(body=text, title=title, body_format=plain, log_level=logging.DEBUG) as result:
            if not result:
                if _reached_nobody(result):
                    once.refused()
                raise _failure(result)
        name = _name(service)
        once.done(service=name)
        return self._receipt(once, name, found=False)

    def check(self) -> str:
        return f"Apprise can read the address, of {_name(self._service())} (whether it is taken, only a notice shows)"

    def _service(self) -> apprise.Apprise:
        """A new one each time: it sleeps between two notices of its own."""
        service = apprise.Apprise(asset=self._asset)
        if not service.add(self.settings.url.reveal().strip()) or len(service) != 1:
            raise Permanent("Apprise cannot read the address: it knows no such service, or something is missing in it")
        return service

    def _receipt(self, once: Once, service: str, *, found: bool) -> Receipt:
        return Receipt(location=service, proof=self.proof, found=found, details={"repeats": once.repeats})


class _Discreet(logging.Filter):
    """What the library logs is foreign text, and may hold parts of the address. Warnings are let through, to its
    results; of all else no more than whether anything was sent, and whether anybody could be reached."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            said = record.getMessage()
            broke = _UNREACHED if _NO_CONNECTION.search(said) else _BROKE_OFF
            record.msg = broke if said.startswith("Socket Exception") else _SENT if said.startswith("Sent ") else ""
            record.args = None
        return bool(record.msg)


def _quiet() -> None:
    log = logging.getLogger("apprise")
    if log.propagate:
        log.addHandler(logging.NullHandler())
        log.addFilter(_Discreet())
        log.setLevel(logging.DEBUG)
        log.propagate = False


def _name(service: apprise.Apprise) -> str:
    name = str(service[0].service_name)
    return name if _WORD.fullmatch(name) else "a service"


def _failure(result: apprise.AppriseResult) -> WebhookError:
    """Of what the library logged, a status is all that is told."""
    if result.status is apprise.AppriseResultStatus.TIMEOUT:
        return Retryable("the service did not answer Apprise in time")
    codes = sorted({code for entry in result.logs() for code in _CODE.findall(entry.message)})
    return Retryable("Apprise could not deliver it" + (f": the service answered {', '.join(codes)}" if codes else ""))


def _reached_nobody(result: apprise.AppriseResult) -> bool:
    """Whether there never was a connection: of that the library tells in its log alone."""
    return {entry.message for entry in result.logs() if entry.level != "WARNING"} == {_UNREACHED}


def _calling_nobody(text: str) -> str:
    """In many chats `@everyone` calls everyone, whoever wrote it."""
    return re.sub(r"@(?=[\w&])", "@\u200b", text)
