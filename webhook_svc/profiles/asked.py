"""A request that is described: a template for each of its pieces, judged when it is read, filled when it is sent.

What a template's value may do depends on where it stands. In an address each value is one path segment; only the
operator's own base (`{api_base}` at the beginning) and an address that is nothing but `{link}` are taken whole.
Headers, `basic` and `secret_query` are credentials: they reach configured hosts only. What is posted to a link holds
nothing configured.
"""

import base64
import re
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from ..core.errors import Permanent, RenewToken, Retryable, Unlikely, WebhookError
from ..core.flow import Fates, failure
from ..core.outgoing import Answer, Request
from ..core.settings import Expanded, host_of, setting
from ..core.template import Field, Template, header_text, url_segment

TOKEN: Final = "token"  # noqa: S105  a name, no secret
"""The name under which templates find what the description's `login` brought."""

NUMBER: Final = "number"
"""`{name:number}` alone is a number in what is sent as JSON."""

_HOST = re.compile(r"https?://[^/{}?#\s@]+(?=/|\Z)")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_LINK_IS_STALE = (401, 403, 404, 410)
_FATES: Fates = {
    401: (Permanent, "the credentials are not accepted"),
    404: (Unlikely, "there is no such document, or not for these credentials"),
    408: (Retryable, "it took too long"),
    425: (Retryable, "it is too early"),
    429: (Retryable, "the rate limit is reached"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What every described request may have."""

    get: str = setting("the address to ask with GET", "")
    post: str = setting("the address to ask with POST", "")
    headers: Mapping[str, str] = setting("headers; sent to configured hosts only", factory=dict)
    basic: str = setting("user:password, sent as Basic authentication to configured hosts only", "")
    secret_query: Mapping[str, str] = setting("parameters that are credentials: configured hosts only", factory=dict)
    json: Any = setting("what a POST sends, as JSON", None)
    form: Mapping[str, str] = setting("what a POST sends, as a form", factory=dict)

    def __post_init__(self) -> None:
        if bool(self.get) == bool(self.post):
            raise ValueError("exactly one of get and post")
        if self.get and (self.json is not None or self.form):
            raise ValueError("json and form with post only")
        if self.form and self.json is not None:
            raise ValueError("json or form, not both")
        for text in (*self.texts(), *self.more_texts()):
            Template.parse(text)
        for name, text in self.headers.items():
            check_header(name, text)
        _check_json(self.json)

    @property
    def address(self) -> Template:
        return Template.parse(self.get or self.post)

    @property
    def names(self) -> frozenset[str]:
        """The names that its templates use."""
        return frozenset(field.name for field in self.fields())

    def fields(self) -> Iterator[Field]:
        for text in (*self.texts(), *self.more_texts()):
            yield from Template.parse(text).fields

    def texts(self) -> Iterator[str]:
        yield from (self.get, self.post, self.basic)
        yield from (*self.headers.values(), *self.secret_query.values(), *self.sent())

    def more_texts(self) -> Iterator[str]:
        """Templates beside the request's own."""
        yield from ()

    def sent(self) -> Iterator[str]:
        """The templates of the body."""
        yield from (*texts_in(self.json), *self.form.values())


def check_header(name: str, text: str) -> None:
    """ValueError where it would break out of its line, or nobody could send it."""
    if not _HEADER.fullmatch(name) or header_text(text) != text or not text.isascii():
        raise ValueError(f"the header {name[:40]!r} as a name and ASCII text in one line")


def check_path(path: str, *, header: bool = False) -> None:
    """ValueError for what is no path into JSON: `/a/b` or `a.b`; with `header` also `header:NAME`."""
    bare = path.removeprefix("header:") if header else path
    if ":" in bare.partition("/")[0] or path != path.strip():
        places = "/a/b, a.b or header:NAME" if header else "/a/b or a.b"
        raise ValueError(f"a path such as {places} in the place of {path[:40]!r}")


def _check_json(value: Any) -> None:
    """TOML has dates and times, JSON has not."""
    if isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            _check_json(inner)
    elif not isinstance(value, str | int | float | bool | None):
        raise ValueError("text in quotes in json: it knows no dates")


# --- judged -----------------------------------------------------------------------------------------------------------


def check_asked(asked: Asked, own: Container[str], known: Container[str], what: str) -> None:
    """ValueError where it cannot work. `own` are the names that the operator configured, `known` all names that have
    a value here."""
    if strange := sorted(name for name in asked.names if name not in known):
        names = ", ".join(sorted(known)) if isinstance(known, set | frozenset) else ""
        raise ValueError(f"{what} without {{{strange[0]}}}" + (f" (known: {names})" if names else ""))
    _check_address(asked.address, own, what)
    if odd := [field for field in asked.fields() if field.detail not in ("", NUMBER) and field.name != "since"]:
        raise ValueError(f"{what} without {odd[0]}: after the colon stands nothing, or `number` in json")
    sent = {field.name for text in asked.sent() for field in Template.parse(text).fields}
    if is_link(asked, own) and any(isinstance(text, Expanded) for text in asked.sent()):
        raise ValueError(f"{what} without a value of the environment in its json: a link may lead to any host")
    if is_link(asked, own) and (told := sorted(name for name in sent if name in own or name == TOKEN)):
        raise ValueError(f"{what} without {{{told[0]}}} in its json: a link may lead to any host")


def _check_address(address: Template, own: Container[str], what: str) -> None:
    first, *rest = address.pieces
    if isinstance(first, Field):
        begins = first.name in own and (not rest or str(rest[0]).startswith("/"))
        fine = begins or bool(address.whole)
    else:
        fine = bool(_HOST.match(first)) and (first.count("/") > 2 or not rest)
    if not fine:
        raise ValueError(
            f"{what} with an address that is {{link}} alone, or begins with a configured value or https://host "
            "and goes on with /"
        )


def is_link(asked: Asked, own: Container[str]) -> bool:
    whole = asked.address.whole
    return whole is not None and whole.name not in own


def trusted_host(asked: Asked, values: Mapping[str, str]) -> str:
    """The origin that the operator wrote, "" where the address is a link. ValueError where it is no address."""
    base = base_of(asked.address, values)
    if not base:
        return ""
    if not base.startswith(("https://", "http://")) or not base.isprintable() or set(base) & set("?# @"):
        raise ValueError("an http(s) address without query in the value that a download step begins with")
    return host_of(base)


def base_of(address: Template, values: Mapping[str, str]) -> str:
    """The beginning that the operator wrote: a value, or scheme and host; "" where the address is a link."""
    first = address.pieces[0]
    if isinstance(first, Field):
        return values.get(first.name, "").rstrip("/")
    match = _HOST.match(first)
    return match.group() if match else ""


# --- filled -----------------------------------------------------------------------------------------------------------


def request_of(asked: Asked, known: Mapping[str, str], values: Mapping[str, str], query: str = "") -> Request:
    """The request; `query` goes behind its address. Permanent where a value cannot stand where the template puts it."""
    try:
        url = _url(asked.address, known, values)
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if asked.form else {}
        return Request(
            method="GET" if asked.get else "POST",
            url=url + ("&" if "?" in url else "?") * bool(query) + query,
            headers=headers,
            auth=_credentials(asked, known),
            auth_query={name: filled(text, known) for name, text in asked.secret_query.items()},
            json=filled(asked.json, known),
            body=_form(asked, known),
        )
    except ValueError as error:
        raise Permanent(f"a value of the callback or an answer does not fit: {_without_value(error)}") from None


def failed(asked: Asked, answer: Answer, values: Mapping[str, str], who: str = "the sender") -> WebhookError:
    """What an answer that is no 2xx means; `who` gave it."""
    if answer.status in _LINK_IS_STALE and not base_of(asked.address, values):
        return Retryable(f"the link answered {answer.status}: a new one is asked for")
    if answer.status == 401 and TOKEN in asked.names:
        refused = f"{who} answered 401: the token is not accepted"
        return RenewToken(refused, otherwise=Permanent(refused))
    return failure(answer, _FATES, who)


def filled(value: Any, known: Mapping[str, str]) -> Any:
    """The value with every template in it filled, however deep. `{offset:number}` alone becomes a whole number."""
    if isinstance(value, str):
        template = Template.parse(value)
        text = template.render(_values(known))
        return _whole(text) if template.whole and template.whole.detail == NUMBER else text
    if isinstance(value, Mapping):
        return {key: filled(inner, known) for key, inner in value.items()}
    return [filled(inner, known) for inner in value] if isinstance(value, list | tuple) else value


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise ValueError("it is no whole number")
    return int(text)


def texts_in(value: Any) -> Iterator[str]:
    """Every text in a value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from texts_in(inner)


def _credentials(asked: Asked, known: Mapping[str, str]) -> dict[str, str]:
    headers = {name: _header(text, known) for name, text in asked.headers.items()}
    if asked.basic:
        user = base64.b64encode(filled(asked.basic, known).encode()).decode()
        headers["Authorization"] = f"Basic {user}"
    return headers


def _form(asked: Asked, known: Mapping[str, str]) -> bytes | None:
    return urlencode(filled(asked.form, known), errors="strict").encode() if asked.form else None


def _url(address: Template, known: Mapping[str, str], values: Mapping[str, str]) -> str:
    if address.whole and address.whole.name not in values:
        return _link(_values(known)(address.whole))
    base = base_of(address, values)
    first = address.pieces[0]
    rest = address.pieces[1:] if isinstance(first, Field) else (first[len(base) :], *address.pieces[1:])
    return base + Template(tuple(rest)).render(_values(known), url_segment)


def _link(text: str) -> str:
    if not text.startswith(("https://", "http://")) or not text.isprintable() or " " in text:
        raise ValueError("it is not an http(s) address")
    if not urlsplit(text).hostname:
        raise ValueError("it has no host")
    return text


def _header(text: str, known: Mapping[str, str]) -> str:
    rendered = Template.parse(text).render(_values(known), header_text)
    rendered.encode("latin-1")
    return rendered.strip()


def _values(known: Mapping[str, str]) -> Callable[[Field], str]:
    def value(field: Field) -> str:
        """A name may be missing where the configuration changed after the callback was read."""
        if field.name not in known:
            raise Permanent(f"the callback was read without {field}: replay it")
        text = known[field.name]
        return _time(text, field.detail) if field.name == "since" else text

    return value


def _time(seconds: str, form: str) -> str:
    """As the form says; without one, in Unix seconds."""
    return datetime.fromtimestamp(float(seconds), UTC).strftime(form) if form else str(int(float(seconds)))


def _without_value(error: ValueError) -> str:
    """An encoding error quotes the text that it failed on, which may be a credential."""
    return "letters that a header cannot hold" if isinstance(error, UnicodeError) else str(error)
