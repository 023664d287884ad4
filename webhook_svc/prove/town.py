"""What the service under proof talks to, kept in this process so that it outlives the service: simulated providers,
a folder and a mailbox."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any, Self

from ..core.ports import Simulator
from ..core.tomltext import table_text
from ..simulators import SIMULATORS
from ..simulators.mailbox import Mailbox, Quirk
from ..simulators.serve import Wsgi, serve
from .reckoning import Found, Letter, Promise

NAME = "{source}/{document}/{filename}"
BOTH = ("document", "certificate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A source to be: its provider's simulator, and the parts that this provider has."""

    simulator: Simulator
    parts: tuple[str, ...]


def accounts() -> dict[str, Account]:
    """One at every provider that can be simulated, by the name of its source."""
    known = (
        ("contracts", "firma", BOTH),
        ("korea", "esignon", BOTH),
        ("library", "indexhealth", BOTH[:1]),
        ("leases", "okdokument", BOTH[:1]),
        ("porting", "telnyx", BOTH[:1]),
        ("inhouse", "generic", BOTH),
    )
    return {source: Account(simulator=SIMULATORS.load(name)(), parts=parts) for source, name, parts in known}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """How the service reaches the town: what stands before each provider's application, and the address that is told
    for each name (a source, or `mailbox`) in place of the true one; `post` is what the mail server does instead."""

    before: Callable[[str, Wsgi], Wsgi] = lambda _, app: app
    address: Callable[[str, str], str] = lambda _, url: url
    post: Quirk = lambda _: None


class Town:
    """Open from the start; use it as a context manager."""

    def __init__(self, home: Path, *, wiring: Wiring | None = None, known: Mapping[str, Account] | None = None) -> None:
        self.home = home
        self.accounts = accounts() if known is None else known
        wiring = wiring or Wiring()
        with ExitStack() as stack:
            self._bases = {}
            for name, account in self.accounts.items():
                served = stack.enter_context(serve(wiring.before(name, account.simulator.wsgi())))
                self._bases[name] = wiring.address(name, served.url)
            self.mailbox = stack.enter_context(Mailbox(quirk=wiring.post))
            self._mail = wiring.address("mailbox", self.mailbox.url)
            self._open = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def folder(self) -> Path:
        return self.home / "archive"

    @property
    def sinks(self) -> tuple[str, ...]:
        return tuple(name.removeprefix("sinks.") for name in self.tables() if name.startswith("sinks."))

    def configuration(self, **sections: Mapping[str, Any]) -> str:
        """The TOML of a service that serves all accounts into all sinks; `sections` come on top.

        Nothing looks at the providers' lists: what was lost is not to be found again behind our back.
        """
        tables = {"vault": {"path": str(self.home / "vault")}, **self.tables(), **sections}
        for source, account in self.accounts.items():
            more = {"parts": account.parts, "sinks": self.sinks, "reconcile": 0}
            tables[f"sources.{source}"] = {**account.simulator.source(self._bases[source]), **more}
        return "\n".join(table_text(key, dict(table)) for key, table in tables.items())

    def tables(self) -> dict[str, Mapping[str, Any]]:
        """The tables of the sinks."""
        letters = {"from": "contracts@acme.example", "to": ["legal@acme.example"], "tls": "none"}
        return {
            "sinks.archive": {"kind": "folder", "path": str(self.folder), "name": NAME},
            "sinks.legal": {"kind": "email", "server": self._mail, **letters},
        }

    # --- what was promised, and what is there ---------------------------------------------------------------------

    def promise(self, source: str, document: str, *, required: bool = True) -> Promise:
        account = self.accounts[source]
        files = frozenset(sha256(account.simulator.document_bytes(document, part)) for part in account.parts)
        return Promise(name=f"{source}/{document}", files=files, required=required)

    def places(self) -> dict[str, list[Found]]:
        """What every sink that holds files holds, by the sink's name."""
        return {"archive": list(in_folder(self.folder))}

    def letters(self) -> list[Letter]:
        found = []
        for mail in self.mailbox.mails:
            message = message_from_bytes(mail.content, policy=policy.default)
            attached = (bytes(part.get_content()) for part in message.iter_attachments())
            found.append(Letter(id=str(message["Message-ID"]), files=frozenset(map(sha256, attached))))
        return found


def in_folder(folder: Path) -> Iterable[Found]:
    """Hidden files are left out: a killed writer may leave one, and nobody takes it for a document."""
    for file in folder.rglob("*"):
        if file.is_file() and not file.name.startswith("."):
            yield Found(path=str(file.relative_to(folder)), sha256=sha256(file.read_bytes()))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
