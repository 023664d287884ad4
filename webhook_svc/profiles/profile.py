"""A profile: a sender that a TOML file describes, in the box (`webhook_svc/providers/<name>.toml`) or of a user's own.

[profile]    what it is, and what is known of it           [event]       where a callback says what
[settings]   what a source has to bring; templates         [[download]]  the requests that bring the documents
             find each under its name                      [login] [list] [acknowledge] [challenge]
[verify]     how a callback proves that it is genuine      [simulate]    callbacks for the simulator
"""

import dataclasses
import keyword
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from ..core.errors import ConfigError, Problem
from ..core.sections import SourceKeys
from ..core.settings import build, setting
from .description import OF_THE_LIST, Description
from .simulate import Simulate
from .steps import OF_THE_DOCUMENT

LONGEST: Final = 64 * 1024
"""Bytes that a profile may have."""

_TAKEN: Final = ("secrets", "described", *(field.name for field in dataclasses.fields(SourceKeys)))
"""Names that a source has beside what its profile declares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    what: str = setting("one sentence: which sender's callbacks these are")
    deadline: float = setting("seconds after which the sender gives up on an answer", 10.0)
    secret: str = setting("the setting that serves where a source has no `secrets`", "")
    url_token: bool = setting("the callback URL needs a token, because what is sent proves too little", False)
    inferred: str = setting("what the sender's documentation does not say, in a few words; empty: it says all", "")
    guide: str = setting("Markdown: how to set it up; unset: the file of the same name that ends in .md", "")

    def __post_init__(self) -> None:
        if not 0.5 <= self.deadline <= 3600:
            raise ValueError("a deadline from 0.5 to 3600 seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A setting that a source of this profile has."""

    kind: Literal["secret", "text", "address"] = setting("a secret never shows; an address is trusted as written")
    doc: str = setting("what it is")
    default: str | None = setting("its value where the source names none; unset: it must be named", None)
    example: str = setting("a value for the simulator", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Beside:
    """The tables of a profile that are not the description."""

    profile: About = setting("what it is, and what is known of it")
    settings: Mapping[str, Declared] = setting("what a source has to bring", factory=dict)
    simulate: Simulate | None = setting("callbacks for the simulator", None)


TABLES: Final = tuple(field.name.rstrip("_") for field in dataclasses.fields(Description))
"""The tables of a description: a source may change them for itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """`tables` are those of the description as they were read, for a source that changes some of them."""

    name: str
    about: About
    settings: Mapping[str, Declared]
    description: Description
    simulate: Simulate | None
    tables: Mapping[str, Any]
    guide: str

    def described(self, changes: Mapping[str, Any]) -> Description:
        """The description with a source's own tables in it. ValueError with all that is wrong.

        A key of a source's table wins over the profile's; a `verify` with an `alg` or a `preset`, and the steps of a
        download, take the place of the profile's.
        """
        problems: list[Problem] = []
        tables = {**self.tables, **{name: _changed(name, self.tables, table) for name, table in changes.items()}}
        found = build(Description, tables, "", problems)
        if problems:
            raise ValueError("; ".join(f"{one.where.lstrip('.')}: {one.expected}" for one in problems))
        found.check(self.settings)
        return found  # type: ignore[no-any-return]  # build makes what it is asked for


def _changed(name: str, tables: Mapping[str, Any], table: Any) -> Any:
    whole = name == "download" or not isinstance(table, Mapping) or (name == "verify" and {"alg", "preset"} & {*table})
    return table if whole else {**tables.get(name, {}), **table}


def read(path: Path, name: str = "") -> Profile:
    """The profile in that file. ConfigError with everything that is wrong with it."""
    where = name or str(path)
    tree, problems = _parsed(path, where), list[Problem]()
    tables = {key: tree[key] for key in TABLES if key in tree}
    rest = {key: value for key, value in tree.items() if key not in TABLES}
    beside = build(_Beside, rest, where, problems, also=TABLES)
    found = build(Description, tables, where, problems)
    if not problems:
        problems += _odd(where, beside, found)
    if problems:
        raise ConfigError(problems)
    guide = beside.profile.guide or _guide(path.with_suffix(".md"), where)
    return Profile(
        name=name or f"file:{path}",
        about=beside.profile,
        settings=beside.settings,
        description=found,
        simulate=beside.simulate,
        tables=tables,
        guide=guide,
    )


def read_simulate(path: Path, described: Description) -> Simulate:
    """How callbacks of that sender look, out of a file of its own. ConfigError with everything that is wrong."""
    problems: list[Problem] = []
    found = build(Simulate, _parsed(path, path.name), path.name, problems)
    try:
        if found:
            found.check(described)
    except ValueError as error:
        problems.append(Problem(where=path.name, found="what does not fit the profile", expected=str(error)))
    if problems:
        raise ConfigError(problems)
    return found  # type: ignore[no-any-return]  # build makes what it is asked for


def _guide(path: Path, where: str) -> str:
    """ "" where there is none."""
    try:
        return path.read_text("utf-8") if path.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        found = f"a guide that cannot be read ({type(error).__name__})"
        raise ConfigError([Problem(where=where, found=found, expected=f"UTF-8 text in {path.name}")]) from error


def _parsed(path: Path, where: str) -> dict[str, Any]:
    expected = f"a profile: TOML of at most {LONGEST} bytes"
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST + 1)
        if len(content) > LONGEST:
            raise ConfigError([Problem(where=where, found=f"more than {LONGEST} bytes", expected=expected)])
        return tomllib.loads(content.decode("utf-8-sig"))
    except OSError as error:
        raise ConfigError([Problem(where=where, found=str(error.strerror), expected=expected)]) from error
    except (ValueError, RecursionError) as error:
        found = "bytes that are not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise ConfigError([Problem(where=where, found=found, expected=expected)]) from error


def _odd(where: str, beside: _Beside, found: Description) -> Iterator[Problem]:
    taken = {*_TAKEN, *TABLES, *OF_THE_DOCUMENT, *OF_THE_LIST}
    for name, declared in beside.settings.items():
        place = f"{where}: settings.{name}"
        if name in taken or not name.isidentifier() or keyword.iskeyword(name):
            yield Problem(where=place, found="a name that means something else", expected="another name")
        if declared.kind == "address" and declared.default and not declared.default.startswith(("https://", "http://")):
            yield Problem(where=place, found="a default that is no address", expected="an http(s) address")
    serving = beside.settings.get(beside.profile.secret)
    if beside.profile.secret and (serving is None or serving.kind != "secret"):
        found_ = "a name of nothing" if serving is None else f"one of kind {serving.kind}"
        yield Problem(where=f"{where}: profile.secret", found=found_, expected="a secret under [settings]")
    try:
        found.check(beside.settings)
        if beside.simulate:
            beside.simulate.check(found)
    except ValueError as error:
        yield Problem(where=where, found="tables that do not work together", expected=str(error))
