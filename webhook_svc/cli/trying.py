"""Commands to try things out: simulate a sender, verify a saved callback, make a secret."""

import secrets
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

import click

from ..core.asking import Verdict
from ..core.errors import Retryable
from ..core.ids import new_id
from ..core.ports import Scheme
from ..core.rawhttp import length_note, parse_request
from ..core.tomltext import table_text
from ..core.types import RawRequest
from .explaining import told
from .frame import as_json, fail, opened
from .moments import at_moment
from .printing import echo_json, iso, plain

if TYPE_CHECKING:
    from ..wiring import Play

QUIET = 5.0
"""Seconds without a question after which a simulator believes that it has been asked for everything."""


@click.command()
@click.argument("provider")
@click.option(
    "--to", required=True, metavar="URL", help="Where callbacks go, such as http://127.0.0.1:8000/hooks/contracts."
)
@click.option("--secret", default="", help="What callbacks are signed with; without it one is made up.")
@click.option("--api-key", default="", help="What the simulated API asks for; without it one is made up.")
@click.option(
    "--port", default=0, type=click.IntRange(0, 65535), help="Where the simulated API listens; 0: any free port."
)
@click.option(
    "--quirk",
    "quirks",
    multiple=True,
    metavar="NAME[:TIMES]",
    help="Misbehave like this, once or so many times; may be repeated. An unknown name lists the known ones.",
)
@click.option("--send", "count", default=1, type=click.IntRange(1), help="Signings that complete.")
@click.option("--serve/--once", help="Stay until Ctrl-C; --once (the default) ends when nobody asks any more.")
def simulate(
    provider: str,
    to: str,
    secret: str,
    api_key: str,
    port: int,
    quirks: tuple[str, ...],
    count: int,
    serve: bool,
) -> None:
    """Stand in for a provider.

    Sends signed callbacks to a running service, and serves the documents they speak of.

    The configuration that the service needs is printed first. With --secret, --api-key and --port it is the same every
    time. Exit code 1 if a callback was not accepted.

    \b
    Example:
      webhook-svc simulate firma --to http://127.0.0.1:8000/hooks/contracts \\
          --secret s3cret --api-key k3y --port 9000 --send 10 --quirk duplicate:3
    """
    from .. import wiring

    name, tokens = _source_in(to)
    with wiring.simulation(provider, secret=secret, api_key=api_key, port=port) as play:
        _misbehave(play, quirks)
        click.echo(_source_table(play, name, tokens) + "\n")
        refused = _send(play, to, count)
        _stay(play, serve)
    if refused:
        fail(f"{refused} callbacks were not accepted")


def _misbehave(play: "Play", quirks: Iterable[str]) -> None:
    for text in quirks:
        quirk, _, times = text.partition(":")
        if times and not (times.isascii() and times.isdigit() and 0 < int(times[:9]) == int(times)):
            raise click.UsageError(f"--quirk {text}: after the colon stands how often, a whole number from 1")
        try:
            play.simulator.misbehave(quirk, times=int(times or 1))
        except ValueError as error:
            raise click.UsageError(str(error)) from error


def _source_table(play: "Play", name: str, tokens: list[str]) -> str:
    table = {**play.source(), **({"tokens": tokens} if tokens else {})}
    return '# add: sinks = ["…"]\n' + table_text(f"sources.{name}", table)


def _source_in(to: str) -> tuple[str, list[str]]:
    """The source that an address such as https://host/hooks/contracts/TOKEN speaks to, and its token if it has one."""
    try:
        parts = urlsplit(to)
        parts.port  # noqa: B018 - a port that is none shows here
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise click.UsageError("--to must be http(s)://host/path")
    path = parts.path.strip("/").split("/")
    return (path[1], path[2:3]) if len(path) > 1 and path[0] == "hooks" else ("simulated", [])


def _send(play: "Play", to: str, count: int) -> int:
    """How many callbacks were not accepted. A service that goes away meanwhile is no reason to stop; one that was never
    there is."""
    refused = accepted = 0
    for number in range(1, count + 1):
        document = new_id("doc", time.time())
        try:
            for sent in play.complete(document, to, title=f"Contract {number}"):
                kept = f"  {sent.event}" if sent.event else ""
                click.echo(plain(f"{number}/{count}  {document}  {sent.status}  {sent.seconds * 1000:.0f} ms{kept}"))
                good = 200 <= sent.status < 300
                accepted, refused = accepted + good, refused + (not good)
        except Retryable as error:
            if not accepted:
                raise
            click.echo(plain(f"{number}/{count}  {document}  {error}"))
            refused += 1
    return refused


def _stay(play: "Play", serve: bool) -> None:
    click.echo(f"serving documents at {play.url}" + (", Ctrl-C ends it" if serve else ""), err=True)
    try:
        while play.wait_until_quiet(QUIET) or serve:
            pass
    except KeyboardInterrupt:
        click.echo("", err=True)


@click.command()
@click.argument("source")
@click.argument("request_file", required=False, type=click.File("rb"), metavar="[REQUEST-FILE]")
@click.option("--refused", metavar="ID", help="A refused callback from the store, instead of a file.")
@click.option(
    "--at",
    type=float,
    callback=at_moment,
    metavar="UNIX",
    help="The time of arrival; default: now, or when it was refused.",
)
@as_json
def verify(source: str, request_file: BinaryIO | None, refused: str | None, at: float | None, as_json: bool) -> None:
    """Judge a saved callback, and explain.

    Would it be accepted, and what does it say? Which places were looked at, what was found there, how far is the clock
    off, which secret gives the signature, or would give it but for a likely mistake? No secret, body or signature is
    shown. Nothing is kept, and only this source's values are needed.

    REQUEST-FILE is a raw HTTP request: request line, headers, an empty line, and the body byte for byte; `-` reads
    standard input. Exit code 0 if it is accepted, 1 if it is refused.

    \b
    Example:
      webhook-svc verify contracts request.http --at 1767225600
    """
    from .. import wiring

    if (request_file is None) == (refused is None):
        raise click.UsageError("name a REQUEST-FILE, or --refused ID")
    made = wiring.service(wiring.configured(only=source))
    click.get_current_context().call_on_close(made.close)
    notes: list[str] = []
    arrived = None
    if refused is None:
        request = _from_file(request_file)
    else:
        request, arrived, notes = _from_store(refused, source, made.parties.sources[source].scheme)
    moment = next(known for known in (at, arrived, time.time()) if known is not None)
    verdict, explanation = made.dry_run(source, request, moment), made.explained(source, request, moment)
    notes += [note for note in (length_note(request),) if note]
    if as_json:
        echo_json({"verdict": verdict, "explanation": explanation, "at": moment, "notes": notes})
    else:
        lines = (*_told(verdict, moment), *told(explanation), *(f"note: {note}" for note in notes))
        click.echo("\n".join(map(plain, lines)))
    if not verdict.accepted:
        click.get_current_context().exit(1)


def _from_file(file: BinaryIO | None) -> RawRequest:
    try:
        return parse_request(file.read() if file else b"")
    except ValueError as error:
        fail(f"the request file cannot be used: {error}")


def _from_store(refused_id: str, source: str, scheme: Scheme) -> tuple[RawRequest, float | None, list[str]]:
    with opened() as made:
        kept = made.store.refused_request(refused_id)
    if kept is None:
        fail(f"no refused callback {plain(refused_id)} is kept (see: webhook-svc events --refused)")
    notes = [f"it was refused with {kept.status} {kept.reason}, sent from {kept.address or 'an unknown address'}"]
    if kept.source != source:
        notes.append(f"it had come to source {kept.source}")
    if scheme.mask(kept.request) != kept.request:
        notes.append(
            "it was kept with fingerprints in the place of secrets: what was sent there cannot be judged again"
        )
    if kept.request.path.removeprefix(f"/hooks/{kept.source}").strip("/"):
        notes.append(
            "it was kept with a fingerprint in the place of the token in its URL: no signature over that holds"
        )
    return kept.request, kept.at, notes


def _told(verdict: Verdict, at: float) -> Iterator[str]:
    if not verdict.accepted:
        yield f"refused, the sender hears {verdict.status}: {verdict.detail} ({verdict.reason}), judged at {iso(at)}"
        return
    if verdict.handshake:
        yield f"a handshake, answered with {verdict.status}"
        return
    proof = "anybody could have sent it: a hint" if verdict.hint else f"verified by secret {verdict.verified_by}"
    yield f"accepted, the sender hears {verdict.status}: {proof}, judged at {iso(at)}"
    yield f"delivery id: {verdict.delivery_id or 'none'}"
    if verdict.misread:
        yield f"but it cannot be understood: {verdict.misread}"
    if verdict.ignored:
        yield f"it asks for nothing: {verdict.ignored}"
    for event in verdict.events:
        yield f"event: {event.type or 'without a type'}, which means {event.meaning.value}"
        yield from (
            f"  document {one.id}{f' round {one.round}' if one.round else ''} {one.name}" for one in event.documents
        )


@click.command()
@click.option("--bytes", "count", default=32, type=click.IntRange(16, 1024), help="Bytes of chance.")
def gen_secret(count: int) -> None:
    """Make a secret.

    Hexadecimal digits: for a URL token, ADMIN_TOKEN, or a sender that lets you choose.

    \b
    Example:
      webhook-svc gen-secret --bytes 32
    """
    click.echo(secrets.token_hex(count))
