"""Published and made-up vectors: each verdict as announced, and every valid one spoiled in many ways."""

import base64
import copy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from webhook_svc.core.errors import NotGenuine
from webhook_svc.core.ids import fingerprint
from webhook_svc.core.settings import Secret
from webhook_svc.core.types import RawRequest, at_path
from webhook_svc.signing.sign import sign
from webhook_svc.signing.verify import Verifier, VerifySettings

FOLDER = Path(__file__).parents[2].parent / "shared" / "vectors"
if not FOLDER.is_dir():
    pytest.skip("the folder ../shared/vectors is absent", allow_module_level=True)

ALL = [vector for name in ("published", "made_here") for vector in json.loads((FOLDER / f"{name}.json").read_text())]
FIELDS = {"alg": "alg", "key": "key", "message": "message", "encoding": "encoding", "vars": "vars"}
FIELDS |= {"sig": "signature", "sig_re": "pattern", "tolerance": "tolerance", "body_view": "body_view"}
LONG = 70_000
UNUSABLE_KEY = (NotGenuine, ValueError)
"""A public key with a changed character may stop being a point of its curve: refused when the verifier is made."""


class Case:
    """A vector as settings, secret, request and clock."""

    def __init__(self, vector: dict[str, Any]) -> None:
        self.id = vector["id"]
        self.settings = VerifySettings(**{FIELDS[k]: v for k, v in vector["params"].items() if k in FIELDS})
        self.secret = vector["secret_or_key"]
        self.now = float(vector.get("verify_at") or 0)
        url = urlsplit(vector.get("url") or "https://hooks.example/hooks/x")
        self.public_url = f"{url.scheme}://{url.netloc}"
        self.request = RawRequest(
            method=vector.get("method", "POST"),
            path=url.path,
            query=url.query,
            headers=tuple((name.lower(), value) for name, value in vector["headers"].items()),
            body=body_of(vector),
        )

    def verify(self, request: RawRequest | None = None, *, secret: str | None = None, now: float | None = None) -> str:
        secrets = [Secret(self.secret if secret is None else secret)]
        verifier = Verifier(self.settings, secrets, self.public_url)
        return verifier.verify(request or self.request, self.now if now is None else now)

    @property
    def place(self) -> tuple[str, str]:
        kind, _, name = self.settings.signature.partition(":")
        return kind, name

    @property
    def is_public_key(self) -> bool:
        return self.settings.alg in ("ed25519", "ecdsa-p256-sha256")

    @property
    def reads_json(self) -> bool:
        return bool(self.signed_json) or self.place[0] == "json"

    @property
    def signed_json(self) -> list[str]:
        return re.findall(r"\{json:([^}]*)\}", self.settings.message)

    def needed_headers(self) -> list[str]:
        """The signature's header, those of the variables in use, those listed as signed, and what a form needs."""
        names = [place.split(" ~ ")[0].removeprefix("header:") for place in self.settings.vars.values()]
        if self.place[0] == "header":
            names.extend(name for name, _ in self.request.headers if re.fullmatch(self.place[1], name))
        if "{hvals}" in self.settings.message:
            names.extend(["x-event-id", "x-delivery-id"])
        if self.settings.body_view:
            names.append("content-type")
        names.extend(self.covered_headers())
        return sorted(set(names))

    def covered_headers(self) -> list[str]:
        """Of RFC 9421: what Signature-Input speaks of, and itself."""
        if self.settings.message != "{base}":
            return []
        told = self.request.header("signature-input") or ""
        return ["signature-input", *re.findall('"([a-z][a-z-]+)"', told.partition(")")[0])]


def body_of(vector: dict[str, Any]) -> bytes:
    if "body_generator" in vector:
        generator = vector["body_generator"]
        body: bytes = generator["repeat"].encode() * generator["count"]
        return body
    return base64.b64decode(vector["body_base64"]) if "body_base64" in vector else vector["body"].encode()


def named(vectors: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(vector, id=vector["id"]) for vector in vectors]


VALID = [v for v in ALL if v["expected"] == "valid"]
INVALID = [v for v in ALL if v["expected"] == "invalid"]
SPOILABLE = [Case(v) for v in VALID]
every_valid_case = pytest.mark.parametrize("case", SPOILABLE, ids=lambda case: case.id)


def refused(verify: Callable[[], str]) -> NotGenuine:
    with pytest.raises(NotGenuine) as caught:
        verify()
    return caught.value


def test_all_vectors_are_there() -> None:
    assert 242 == len(ALL)


@pytest.mark.parametrize("vector", named(VALID))
def test_a_valid_vector_is_accepted(vector: dict[str, Any]) -> None:
    case = Case(vector)
    assert fingerprint(case.secret) == case.verify()


@pytest.mark.parametrize("vector", named(INVALID))
def test_an_invalid_vector_is_refused(vector: dict[str, Any]) -> None:
    case = Case(vector)
    if not case.secret:
        with pytest.raises(ValueError, match="empty secret"):
            case.verify()
    else:
        assert refused(case.verify).reason


@every_valid_case
def test_a_valid_vector_is_refused_after_one_signed_byte_changed(case: Case) -> None:
    spoiled = list(with_signed_byte_changed(case))
    assert spoiled
    for request in spoiled:
        refused(partial(case.verify, request))


@every_valid_case
def test_a_valid_vector_is_refused_after_one_key_character_changed(case: Case) -> None:
    for secret in with_key_character_changed(case):
        with pytest.raises(UNUSABLE_KEY if case.is_public_key else NotGenuine):
            case.verify(secret=secret)


@every_valid_case
def test_a_valid_vector_is_refused_after_a_needed_header_was_spoiled(case: Case) -> None:
    for name in case.needed_headers():
        for request in with_header_spoiled(case, name):
            refused(partial(case.verify, request))


@every_valid_case
def test_a_valid_vector_is_refused_after_its_signature_was_spoiled_where_it_stands(case: Case) -> None:
    if case.place[0] == "json":
        spoiled = list(with_json_changed(case, case.place[1], WRONG_VALUES))
    elif case.place[0] == "query":
        spoiled = list(with_query_spoiled(case))
    else:
        spoiled = list(with_header_text_spoiled(case))
    assert spoiled
    for request in spoiled:
        refused(partial(case.verify, request))


@every_valid_case
def test_a_valid_vector_is_refused_just_outside_its_window_and_accepted_at_its_edge(case: Case) -> None:
    if case.settings.tolerance is None:
        assert case.verify(now=0.0) == case.verify(now=4e9), "without a tolerance no clock matters"
        return
    moment, window = timestamp_of(case), case.settings.tolerance
    for now in (moment - window, moment + window):
        assert case.verify(now=now)
    for outside in (moment - window - 1, moment + window + 1, moment - window - 0.001, moment + window + 0.001):
        assert "stale" == refused(partial(case.verify, now=outside)).reason


@pytest.mark.parametrize("case", [case for case in SPOILABLE if case.reads_json], ids=lambda case: case.id)
def test_a_valid_vector_is_refused_when_its_json_is_no_json(case: Case) -> None:
    for body in (b"", b"no json", b"\xff\xfe", b"[" * 200_000, b'{"a":' * 200_000, b"null", b"[]", b"1" * 5000, b'"x"'):
        refused(partial(case.verify, replace(case.request, body=in_form(case, body))))


@pytest.mark.parametrize("case", [case for case in SPOILABLE if not case.is_public_key], ids=lambda case: case.id)
def test_a_callback_signed_by_our_own_sender_is_accepted(case: Case) -> None:
    values = {"ts": str(timestamp_of(case))} if "ts" in case.settings.vars else {}
    made = sign(case.settings, Secret(case.secret), case.request, values=values, public_url=case.public_url)
    assert made.lower() in whole_text(case).lower()


# --- ways to spoil ------------------------------------------------------------------------------------------------

WRONG_VALUES: list[Any] = [None, "", "x", "é", "\ud800", "\x00", 7, 1.5, True, [], {}, ["x"], "A" * LONG, "ab" * 32]


def whole_text(case: Case) -> str:
    request = case.request
    return " ".join([request.query, *(value for _, value in request.headers), request.body.decode("utf-8", "replace")])


def timestamp_of(case: Case) -> int:
    name, _, regex = case.settings.vars["ts"].removeprefix("header:").partition(" ~ ")
    value = case.request.header(name) or ""
    found = re.search(regex, value) if regex else re.search(r"(\d+)", value)
    assert found
    return int(found[1])


def with_signed_byte_changed(case: Case) -> Iterator[RawRequest]:
    request, message = case.request, case.settings.message
    if case.settings.alg == "equal":
        yield from (spoiled for spoiled in with_secret_changed(case))
    if "{body}" in message:
        for at in sorted({0, len(request.body) // 2, max(len(request.body) - 1, 0)}):
            changed = bytes([request.body[at] ^ 1]) if request.body else b"x"
            yield replace(request, body=request.body[:at] + changed + request.body[at + 1 :])
        yield replace(request, body=request.body + b"\n")
        yield replace(request, body=request.body[:-1] if request.body else b" ")
    for name in case.covered_headers():
        yield with_header(case, name, (request.header(name) or "") + "1")
    if '"@path"' in (request.header("signature-input") or ""):
        yield replace(request, path=request.path + "x")
        yield replace(request, method="PUT")
    if "{url}" in message:
        yield replace(request, path=request.path + "x")
        yield replace(request, query="a=1")
    for path in case.signed_json:
        value = at_path(document_of(case), path)
        other = value + 1 if isinstance(value, int) else f"{value or ''}x"
        yield from with_json_changed(case, path, [other])
    for name in case.settings.vars.values():
        if " ~ " not in name:
            header = name.removeprefix("header:")
            yield with_header(case, header, (request.header(header) or "") + "1")


def with_secret_changed(case: Case) -> Iterator[RawRequest]:
    other = case.secret[:-1] + ("x" if case.secret[-1] != "x" else "y")
    texts = [other, case.secret + "x", case.secret[:-1], case.secret.swapcase()]
    if case.place[0] == "json":
        yield from with_json_changed(case, case.place[1], texts)
    else:
        yield from (with_header(case, case.place[1], text) for text in texts)


def with_key_character_changed(case: Case) -> Iterator[str]:
    prefix = re.match(r"whsec_|whpk_", case.secret) if case.settings.key in ("whsec", "whpk") else None
    start = prefix.end() if prefix else 0
    digits = "0123456789" if case.settings.key == "hex" else "Ab"
    for at in sorted({start, (start + len(case.secret.rstrip("="))) // 2}):
        other = next(digit for digit in digits if digit != case.secret[at].upper() and digit != case.secret[at])
        yield case.secret[:at] + other + case.secret[at + 1 :]


def with_header(case: Case, name: str, *values: str) -> RawRequest:
    kept = [(key, value) for key, value in case.request.headers if key != name]
    return replace(case.request, headers=(*kept, *((name, value) for value in values)))


def with_header_spoiled(case: Case, name: str) -> Iterator[RawRequest]:
    value = case.request.header(name)
    assert value is not None
    if is_one_of_many(case, name):
        case = copy.copy(case)
        rest = [(key, text) for key, text in case.request.headers if key == name or not is_one_of_many(case, key)]
        case.request = replace(case.request, headers=tuple(rest))
    else:
        yield with_header(case, name, value, value)
        yield with_header(case, name, "garbage", value)
    yield with_header(case, name)
    for text in ("", " ", "garbage", "=", ",,,,", "\x00", "v1,", "t=,v1=", "é" * 20, "\xff", "日本", "\ud800"):
        yield with_header(case, name, text)
    yield with_header(case, name, "a" * LONG)
    yield with_header(case, name, value + " " * LONG)
    yield with_header(case, name, (value + ",") * (LONG // len(value)))


def is_one_of_many(case: Case, name: str) -> bool:
    kind, pattern = case.place
    return kind == "header" and "\\" in pattern and re.fullmatch(pattern, name) is not None


def with_header_text_spoiled(case: Case) -> Iterator[RawRequest]:
    """Every long run of digits that may be a signature, changed in the same way."""
    shortest = 20 if case.settings.alg != "equal" else len(case.secret)
    run = re.compile(rf"[A-Za-z0-9+/_]{{{shortest},}}=*")

    def spoiled(name: str, value: str, spoil: Callable[[str], str]) -> str:
        return run.sub(lambda match: spoil(match[0]), value) if re.fullmatch(case.place[1], name) else value

    padding = [lambda text: text.rstrip("=") + "==="] if case.settings.encoding == "base64" else []
    for spoil in SPOILS_OF_TEXT + padding:
        headers = tuple((name, spoiled(name, value, spoil)) for name, value in case.request.headers)
        yield replace(case.request, headers=headers)


SPOILS_OF_TEXT: list[Callable[[str], str]] = [
    lambda text: text[:-1],
    lambda text: text[:-2],
    lambda text: text[: len(text) // 2],
    lambda text: text[: len(text) // 2] + "é" + text[len(text) // 2 + 1 :],
    lambda text: text[: len(text) // 2] + " " + text[len(text) // 2 :],
    lambda text: text[: len(text) // 2] + "-" + text[len(text) // 2 + 1 :],
    lambda text: ("1" if text[0] != "1" else "2") + text[1:],
    lambda text: text[::-1],
    lambda text: text + "0",
    lambda text: text + "é",
    lambda text: "0x" + text,
]


def with_query_spoiled(case: Case) -> Iterator[RawRequest]:
    query, name = case.request.query, case.place[1]
    value = query.partition("=")[2]
    twice_encoded = "%25" + f"{ord(value[0]):02x}" + value[1:]
    for text in ("", name, f"{name}=", f"{name}=x", f"{name}=%", f"{name}=%ff%00", f"{name}={twice_encoded}"):
        yield replace(case.request, query=text)
    for text in (f"{query}&{query}", f"{query}&{name}=", f"{query}&%73ignature=x", f"{name}={'a' * LONG}", "é", "日本"):
        yield replace(case.request, query=text)
    yield from (replace(case.request, query=f"{name}={spoil(value)}") for spoil in SPOILS_OF_TEXT)


def document_of(case: Case) -> Any:
    body = case.request.body
    return json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])


def with_json_changed(case: Case, path: str, values: list[Any]) -> Iterator[RawRequest]:
    *way, last = path.split(".")
    for value in values:
        document = document_of(case)
        inner = document
        for key in way:
            inner = inner[key]
        inner[last] = value
        yield replace(case.request, body=in_form(case, json.dumps(document).encode()))
    if at_path(document_of(case), path):
        document = document_of(case)
        del document[path.split(".")[0]]
        yield replace(case.request, body=in_form(case, json.dumps(document).encode()))


def in_form(case: Case, content: bytes) -> bytes:
    if not case.settings.body_view:
        return content
    body = case.request.body
    return body[: body.index(b"{")] + content + body[body.rindex(b"}") + 1 :]
