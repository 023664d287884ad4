"""Where the files of a signing go: safe, and apart from each other whatever the version, round or supplement."""

from dataclasses import replace
from fnmatch import fnmatch
from hashlib import sha256
from io import BytesIO
from types import SimpleNamespace
from typing import Any
from zipfile import ZipFile

import pytest

from webhook_svc.core.errors import Permanent
from webhook_svc.core.template import Template
from webhook_svc.core.types import DocumentRef, Part
from webhook_svc.core.work import DeliveryRow, NewDelivery
from webhook_svc.pipeline.bundle import Bundle, delivery_of, named_apart, opening, segment
from webhook_svc.pipeline.parties import Target

DEED = Part(kind="document", name="Deed.pdf", sha256="ab" * 32, size=9)
CERTIFICATE = Part(kind="certificate", name="certificate.pdf", sha256="cd" * 32, size=9)
CONTENT = {DEED.sha256: b"%PDF deed", CERTIFICATE.sha256: b"%PDF cert"}
FIRST = Bundle(
    source="contracts",
    signing_id="sgn_1",
    ref=DocumentRef(id="d1"),
    title="Deed",
    completed=1_767_225_600.0,
    version=1,
    supplement=0,
    parts=(DEED, CERTIFICATE),
)
NAMES = ("{document}/{filename}", "{source}/{document}.pdf", "{document}/{part}.pdf", "{sha256:.8}", "{document}")


def made(bundle: Bundle, name: str = "{document}/{filename}", *, most: int = 1024, **target: Any) -> NewDelivery:
    sink: Any = SimpleNamespace(max_path=most)
    to = Target(name="archive", sink=sink, path=Template.parse(name), **target)
    delivery = delivery_of(bundle, to, 0.0, stored)
    assert delivery is not None
    return delivery


def paths(bundle: Bundle, name: str = "{source}/{completed:%Y/%m}/{document}/{filename}") -> list[str]:
    return everything(made(bundle, name))


def test_the_default_name_has_a_folder_for_each_document() -> None:
    folder = "contracts/2026/01/d1/"

    assert [folder + "Deed.pdf", folder + "certificate.pdf", folder + "manifest.json"] == paths(FIRST)


@pytest.mark.parametrize("name", NAMES)
def test_no_two_files_of_a_signing_meet_whatever_the_template(name: str) -> None:
    late = Part(kind="audit", name="audit.json", sha256="ef" * 32, size=9)
    others = [Part(kind="document", name="Deed.pdf", sha256=f"{number}1" * 32, size=9) for number in (1, 2)]
    bundles = [
        FIRST,
        replace(FIRST, supplement=1, parts=(late,)),
        replace(FIRST, version=2, parts=tuple(others)),
        replace(FIRST, version=2, supplement=1, parts=(replace(CERTIFICATE, sha256="77" * 32),)),
        replace(FIRST, ref=DocumentRef(id="d1", round="2"), parts=(replace(DEED, sha256="88" * 32),)),
        replace(FIRST, ref=DocumentRef(id="d1", round="3"), parts=(replace(DEED, sha256="99" * 32),)),
    ]
    written = [path for bundle in bundles for path in paths(bundle, name)]

    assert sorted(set(written)) == sorted(written)
    assert all(path.endswith(".json") for bundle in bundles for path in paths(bundle, name)[-1:])


def test_two_names_that_differ_in_case_alone_are_kept_apart() -> None:
    named = named_apart((DEED, replace(DEED, name="deed.PDF")), set())

    assert ["Deed.pdf", "deed-2.PDF"] == [part.name for part in named]


def test_a_supplement_does_not_take_the_name_of_what_went_before() -> None:
    assert ["Deed-2.pdf"] == [part.name for part in named_apart((DEED,), {"Deed.pdf"})]


@pytest.mark.parametrize("hostile", ["../../etc/passwd", "a/b", "..", "", "x" * 300, "con", "a\r\nb", "\ud800"])
def test_foreign_text_is_one_segment_and_two_of_them_never_meet(hostile: str) -> None:
    safe = segment(hostile)

    assert "/" not in safe
    assert safe not in ("", ".", "..")
    assert len(safe.encode()) <= 140
    assert safe != segment(hostile + "_")


@pytest.mark.parametrize("name", ["{document}", "{source}/{document}", "{document}-{title}"])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_number_with_a_dot_is_no_ending_so_that_two_documents_never_meet(name: str, zipped: bool) -> None:
    ids = ("2026.11", "2026.12", "2026", "2026.json", "2026.zip", "2026.pdf")
    named = [replace(FIRST, ref=DocumentRef(id=one), title=f"Lease {one}") for one in ids]
    written = [path for one in named for path in everything(made(one, name, zipped=zipped))]

    assert sorted(set(written)) == sorted(written)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("{document}", ["2026.11.v2", "2026.11.certificate.v2", "2026.11.manifest.v2.json"]),
        ("{document}.pdf", ["2026.11.v2.pdf", "2026.11.certificate.v2.pdf", "2026.11.manifest.v2.json"]),
        ("{title}", ["Deed.v2.pdf", "Deed.certificate.v2.pdf", "Deed.pdf.manifest.v2.json"]),
    ],
)  # fmt: skip
def test_marks_stand_before_an_ending_that_the_template_or_the_part_has(name: str, expected: list[str]) -> None:
    assert expected == paths(replace(FIRST, version=2, title="Deed.pdf", ref=DocumentRef(id="2026.11")), name)


def test_names_that_differ_in_a_space_alone_stay_apart_from_one_version_to_the_next() -> None:
    one, two = (paths(replace(FIRST, parts=(replace(DEED, name=name),)))[0] for name in ("Deed.pdf", "Deed .pdf"))

    assert one != two


def test_the_names_of_the_files_that_we_make_are_taken_whatever_the_provider_calls_its_own() -> None:
    ours = Part(kind="callback", name="callback.http", sha256="ef" * 32, size=9)
    theirs = tuple(replace(DEED, name=name) for name in ("Manifest.json", "callback.http"))
    named = named_apart((*theirs, ours), set())

    assert ["Manifest-2.json", "callback-2.http", "callback.http"] == [part.name for part in named]


def test_the_manifest_tells_what_went_where_and_what_is_missing() -> None:
    manifest = made(replace(FIRST, parts=(DEED,), missing=("certificate",))).manifest.decode()

    assert f'"sha256": "{DEED.sha256}"' in manifest
    assert '"path": "d1/Deed.pdf"' in manifest
    assert '"missing": [\n    "certificate"\n  ]' in manifest


def test_a_sink_is_given_the_parts_that_it_wants_and_misses_no_others() -> None:
    delivery = made(replace(FIRST, missing=("audit", "document")), parts=("document",))

    assert ((DEED,), ("document",)) == (delivery.parts, delivery.missing)


def test_a_sink_that_wants_nothing_of_a_bundle_gets_no_delivery() -> None:
    sink: Any = SimpleNamespace(max_path=1024)
    to = Target(name="archive", sink=sink, path=Template.parse("{document}"), parts=("audit",))

    assert delivery_of(FIRST, to, 0.0, lambda _: BytesIO()) is None


def test_a_zip_holds_all_parts_and_the_manifest_and_is_the_same_every_time() -> None:
    first, second = (made(FIRST, zipped=True) for _ in range(2))
    (part,) = first.parts
    read = opening(row(first), stored)(part).read()

    assert (first.parts, first.members) == (second.parts, (DEED, CERTIFICATE))
    assert (part.sha256, part.size) == (sha256(read).hexdigest(), len(read))
    with ZipFile(BytesIO(read)) as archive:
        assert archive.testzip() is None
        assert {
            "Deed.pdf": b"%PDF deed",
            "certificate.pdf": b"%PDF cert",
            "manifest.json": first.manifest,
        } == {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize(
    ("name", "path"),
    [("{document}/{filename}", "d1/Deed.zip"), ("{document}.pdf", "d1.zip"), ("{title}-{sha256:.8}", "Deed-*.zip")],
)
def test_a_zip_ends_in_zip_whatever_the_template(name: str, path: str) -> None:
    assert fnmatch(made(FIRST, name, zipped=True).paths[0], path)


def test_a_version_of_a_zip_is_beside_the_first() -> None:
    assert "d1/Deed.v2.zip" == made(replace(FIRST, version=2), zipped=True).paths[0]


@pytest.mark.parametrize("name", ["{document}/{filename}", "{document}", "{document}.zip", "{document}/{part}"])
def test_a_supplement_in_a_zip_is_beside_the_first(name: str) -> None:
    bundles = [replace(FIRST, parts=(DEED,)), *(replace(FIRST, parts=(CERTIFICATE,), supplement=n) for n in (1, 2))]
    written = [path for one in bundles for path in everything(made(one, name, zipped=True))]

    assert sorted(set(written)) == sorted(written)
    assert made(bundles[1], name, zipped=True).paths[0].endswith(".supplement-1.zip")


def test_a_zip_stays_the_same_when_the_time_of_the_signing_is_learned_later() -> None:
    delivery = made(FIRST, zipped=True)
    later = replace(row(delivery), ref=replace(FIRST.ref, completed=1_789_999_000.0))
    (part,) = delivery.parts

    assert part.sha256 == sha256(opening(later, stored)(part).read()).hexdigest()


@pytest.mark.parametrize("completed", [0.0, 7.3e9, 1e11])
def test_a_signing_of_a_time_that_no_zip_can_say_is_packed_all_the_same(completed: float) -> None:
    delivery = made(replace(FIRST, completed=completed, ref=DocumentRef(id="d1", completed=completed)), zipped=True)
    (part,) = delivery.parts

    assert part.sha256 == sha256(opening(row(delivery), stored)(part).read()).hexdigest()


def test_a_zip_that_became_another_one_is_given_up() -> None:
    delivery = made(FIRST, zipped=True)
    (part,) = delivery.parts
    other = replace(row(delivery), manifest=delivery.manifest.replace(b"Deed", b"Lead"))

    with pytest.raises(Permanent, match="not the one that this delivery promised"):
        opening(other, stored)(part).read()


def test_values_of_the_callback_stand_in_names() -> None:
    ref = replace(FIRST.ref, hints={"meta.customer": "ACME/Nord\nACME Süd", "event.type": "x"})
    delivery = made(replace(FIRST, ref=ref), "{meta.customer}/{meta.project}/{document}/{filename}")

    assert delivery.paths[0].startswith("ACME_Nord, ACME Süd-")
    assert delivery.paths[0].endswith("/none/d1/Deed.pdf")
    assert b'"meta": {' in delivery.manifest


@pytest.mark.parametrize("most", [60, 200, 400])
def test_a_path_is_no_longer_than_its_sink_takes_and_two_of_them_stay_apart(most: int) -> None:
    names = ("나" * 50 + ".pdf", "나" * 49 + "다.pdf")
    long = replace(FIRST, title="가" * 100, parts=tuple(replace(DEED, name=name) for name in names))
    rendered = made(long, "{source}/{title}/{document}/{filename}", most=most).paths

    assert all(len(path.encode()) <= most and path.endswith(".pdf") for path in rendered)
    assert 2 == len(set(rendered))


@pytest.mark.parametrize("most", [60, 100, 120])
def test_files_without_a_name_of_their_own_keep_to_the_limit_with_their_numbers_and_folders(most: int) -> None:
    same = [replace(DEED, sha256=f"{number:064x}") for number in range(12)]
    many = replace(FIRST, title="가" * 100, parts=tuple(same), supplement=1)
    flat, deep = (
        everything(made(many, name, most=most)) for name in ("{title}-{document}", "{title}/" * 8 + "{part}.pdf")
    )

    assert (13, 13) == (len(set(flat)), len(set(deep)))
    assert most >= max(len(path.encode()) for path in flat + deep)
    assert all(path.endswith(".pdf") for path in deep[:-1])


def test_what_is_too_long_for_one_segment_is_cut_and_stays_apart() -> None:
    long = "{title}-{meta.customer}-{document}"
    hints = {"meta.customer": "C" * 120}
    one, two = (replace(FIRST, title="T" * 120, ref=DocumentRef(id=number, hints=hints)) for number in ("d1", "d2"))

    assert paths(one, long)[0] != paths(two, long)[0]
    assert all(len(path) <= 255 for path in paths(one, long))


def everything(delivery: NewDelivery) -> list[str]:
    return [*delivery.paths, delivery.manifest_path]


def stored(part: Part) -> BytesIO:
    return BytesIO(CONTENT[part.sha256])


def row(new: NewDelivery) -> DeliveryRow:
    return DeliveryRow(
        id=new.id, signing_id="sgn_1", source="contracts", sink=new.sink, ref=FIRST.ref, title="Deed", version=1,
        supplement=0, state="waiting", parts=new.parts, paths=new.paths, manifest=new.manifest,
        manifest_path=new.manifest_path, missing=(), progress={}, members=new.members,
    )  # fmt: skip
