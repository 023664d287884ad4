"""What was promised against what arrived: pure, so that it can be shown to find what it looks for."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """A document as `source/id`, with the SHA-256 of each of its files.

    Not `required` is one whose sender was never answered: it is there whole, or not at all.
    """

    name: str
    files: frozenset[str]
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One file in a sink, at `source/id/filename`."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One mail that arrived."""

    id: str
    files: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reckoning:
    """Sentences on what is wrong in one place; nothing in all three is right."""

    lost: tuple[str, ...] = ()
    doubled: tuple[str, ...] = ()
    strange: tuple[str, ...] = ()

    @property
    def right(self) -> bool:
        return not (self.lost or self.doubled or self.strange)

    def sentences(self) -> Iterator[str]:
        for word, names in (("lost", self.lost), ("doubled", self.doubled), ("strange", self.strange)):
            yield from (f"{word} {name}" for name in names)


def reckon(promises: Iterable[Promise], found: Iterable[Found]) -> Reckoning:
    """Each file of each promise once, with one manifest beside them, and nothing else."""
    standing: dict[str, list[Found]] = defaultdict(list)
    for file in found:
        standing[file.path.rpartition("/")[0]].append(file)
    lost, doubled, strange = [], [], []
    for promise in promises:
        files = standing.pop(promise.name, [])
        if files or promise.required:
            lost += [f"{promise.name}: {what}" for what in _missing(promise, files)]
            doubled += [f"{promise.name}: {what}" for what in _too_many(files)]
            strange += [file.path for file in files if not _is_manifest(file) and file.sha256 not in promise.files]
    strange += [file.path for files in standing.values() for file in files]
    return Reckoning(lost=tuple(lost), doubled=tuple(doubled), strange=tuple(strange))


def reckon_mail(promises: Iterable[Promise], letters: Iterable[Letter], repeats: dict[str, int]) -> Reckoning:
    """Each promise in one mail, and in as many more as its receipt counts (`repeats`), all of the same id."""
    ids: dict[frozenset[str], list[str]] = defaultdict(list)
    for letter in letters:
        ids[letter.files].append(letter.id)
    lost, doubled = [], []
    for promise in promises:
        mails = ids.pop(promise.files, [])
        if not mails and promise.required:
            lost.append(f"{promise.name}: no mail")
        if len(set(mails)) > 1:
            doubled.append(f"{promise.name}: mails of {len(set(mails))} ids")
        if len(mails) > 1 + repeats.get(promise.name, 0):
            doubled.append(f"{promise.name}: {len(mails)} mails, {repeats.get(promise.name, 0)} of them counted")
    strange = tuple(f"mail {one}" for mails in ids.values() for one in mails)
    return Reckoning(lost=tuple(lost), doubled=tuple(doubled), strange=strange)


def reckon_rows(promises: Iterable[Promise], rows: Iterable[tuple[str, str, str]], sinks: Iterable[str]) -> Reckoning:
    """One delivered row (document, sink, state) for each promise and sink."""
    states: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for document, sink, state in rows:
        states[document].append((sink, state))
    lost, doubled = [], []
    for promise in promises:
        has = Counter(states.pop(promise.name, []))
        if has or promise.required:
            lost += [f"{promise.name}: no delivery to {sink}" for sink in sinks if not has[(sink, "delivered")]]
            doubled += [f"{promise.name}: {count} rows {key}" for key, count in has.items() if count > 1]
    return Reckoning(lost=tuple(lost), doubled=tuple(doubled), strange=tuple(states))


def _missing(promise: Promise, files: list[Found]) -> Iterator[str]:
    here = {file.sha256 for file in files}
    yield from (f"no file {sha256[:12]}" for sha256 in promise.files - here)
    if not any(map(_is_manifest, files)):
        yield "no manifest"


def _too_many(files: list[Found]) -> Iterator[str]:
    kinds = Counter(MANIFEST if _is_manifest(file) else file.sha256[:12] for file in files)
    yield from (f"{count} times {what}" for what, count in kinds.items() if count > 1)


def _is_manifest(file: Found) -> bool:
    name = file.path.rpartition("/")[2]
    return name.startswith("manifest") and name.endswith(".json")
