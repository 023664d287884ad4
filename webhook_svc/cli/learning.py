"""The command that finds out how a sender signs."""

import dataclasses
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, Final
from urllib.parse import urlsplit

import click

from ..config import environment
from ..core.rawhttp import length_note, parse_request
from ..core.tomltext import table_text
from ..core.types import RawRequest
from .frame import as_json, fail
from .moments import at_moment
from .printing import echo_json, iso, plain

if TYPE_CHECKING:
    from ..wiring.learning import Taught


_LONGEST_PEM: Final = 100_000


@click.command()
@click.argument("request_file", type=click.File("rb"), metavar="REQUEST-FILE")
@click.option("--secret-env", metavar="NAME", help="The environment variable that holds the secret.")
@click.option("--secret-file", type=click.File("rb"), metavar="PATH", help="The file that holds it.")
@click.option(
    "--secret",
    metavar="-",
    help="`-`: ask for it, or read a line, or a key in PEM, of standard input. Nothing else: other people of this"
    " machine see the arguments of commands, and shells keep them.",
)
@click.option(
    "--url", default="", metavar="PUBLIC-URL", help="Our address as the sender writes it, where it is signed."
)
@click.option(
    "--at",
    type=float,
    callback=at_moment,
    metavar="UNIX",
    help="The time of arrival; default: what the callback says itself.",
)
@as_json
def learn(
    request_file: BinaryIO,
    secret_env: str | None,
    secret_file: BinaryIO | None,
    secret: str | None,
    url: str,
    at: float | None,
    as_json: bool,
) -> None:
    """Find out how a sender signs.

    From one captured callback and the secret (or public key): the name of the provider, or the table
    [sources.NAME.verify] that verifies it, run before it is printed. The bound: texts of 4 KB, some hundred thousand
    ways to sign, a few seconds, also for a body of 10 MB.

    REQUEST-FILE is a raw HTTP request, as for `verify`. Exit code 0 if something fits, 1 if nothing does.

    \b
    Example:
      webhook-svc learn request.http --secret-env ACME_SECRET --url https://hooks.acme.example
    """
    from ..wiring.learning import learned

    text = _secret(secret_env, secret_file, secret, taken=request_file is sys.stdin.buffer)
    try:
        request = parse_request(request_file.read())
    except ValueError as error:
        fail(f"the request file cannot be used: {error}")
    taught = learned(request, text, _addresses(request, url), time.time() if at is None else at)
    notes = [note for note in (*taught.notes, _time_note(taught, at), length_note(request)) if note]
    toml = _harmless("\n".join(_toml(taught)))
    if as_json:
        told = {field.name: getattr(taught, field.name) for field in dataclasses.fields(taught)}
        echo_json({**told, "notes": notes, "toml": toml})
    else:
        lines = (*_told(taught), *(f"warning: {one}" for one in taught.warnings), *(f"note: {note}" for note in notes))
        comment = "# " if taught.found else ""
        click.echo("\n".join([*(comment + plain(line) for line in lines), *([toml] if toml else [])]))
    if not taught.found:
        click.get_current_context().exit(1)


def _secret(name: str | None, file: BinaryIO | None, dash: str | None, *, taken: bool) -> str:
    """The secret; a line break at its end is the file's. `taken` where standard input is the callback already."""
    if sum(given is not None for given in (name, file, dash)) != 1:
        raise click.UsageError("say where the secret is, once: --secret-env NAME, --secret-file PATH or --secret -")
    if dash not in (None, "-"):
        raise click.UsageError("--secret takes only `-`: as an argument, others of this machine would see the secret")
    if name is not None:
        found = environment().get(name) or ""
    elif file is not None:
        found = _decoded(file.read())
    elif taken:
        raise click.UsageError("standard input cannot be both the callback and the secret")
    elif sys.stdin.isatty():
        found = str(click.prompt("secret", hide_input=True, err=True))
    else:
        first = sys.stdin.buffer.readline()
        pem = first.startswith(b"-----BEGIN ")
        found = _decoded(first + sys.stdin.buffer.read(_LONGEST_PEM) if pem else first)
    found = found.removesuffix("\n").removesuffix("\r")
    if not found.strip():
        fail("the secret is empty")
    return found


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        fail("the secret is not UTF-8 text")


def _addresses(request: RawRequest, url: str) -> list[str]:
    """How the sender may write our address: what --url says, else the host that it asked for."""
    host = request.header("host") or ""
    if not url:
        return [f"https://{host}", f"http://{host}", ""] if _is_address(f"https://{host}") else [""]
    if not _is_address(url):
        raise click.UsageError("--url must be http(s)://host")
    return [url.partition("?")[0].removesuffix(request.path).rstrip("/")]


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and url.isascii() and url.isprintable()
    except ValueError:
        return False


def _harmless(toml: str) -> str:
    """Keys of the callback's JSON stand in it: what could steer a terminal is escaped, as TOML does it."""
    return "".join(one if one.isprintable() or one == "\n" else _escaped(ord(one)) for one in toml)


def _escaped(code: int) -> str:
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _toml(taught: "Taught") -> Iterator[str]:
    if not taught.found:
        return
    yield "[sources.NAME]"
    yield f'provider = "{taught.providers[0] if taught.providers else "generic"}"'
    yield 'secrets = ["${NAME_SECRET}"]'
    if not taught.providers:
        yield table_text("sources.NAME.verify", taught.verify)


def _told(taught: "Taught") -> Iterator[str]:
    if taught.providers:
        first, *others = taught.providers
        yield f'this is {first}: provider = "{first}"; `webhook-svc providers {first}` prints the rest'
        if others:
            yield f"these sign alike: {', '.join(others)}"
    elif taught.verify:
        yield f"this verifies it{f': {taught.known}' if taught.known else ''}"
        if taught.alike:
            yield f"these sign alike, but do not understand it: {', '.join(taught.alike)}"
    else:
        yield f"nothing fits: {taught.clues} texts could be signatures, {taught.trials} ways to sign were tried"
        if taught.bounded:
            yield "these were the likely ones: for all there are, the body or the number of values is too large"
        yield "is it this sender's secret, and is the body saved byte for byte?"


def _time_note(taught: "Taught", at: float | None) -> str:
    if taught.moment is None or taught.tolerance is None or at is None or abs(at - taught.moment) <= taught.tolerance:
        return ""
    return f"at that time it is refused all the same: it was signed at {iso(taught.moment)}"
