"""Where the files of a signing go: safe, and apart from each other whatever the version, round or supplement."""

from dataclasses import replace
from fnmatch import fnmatch
from hashlib import sha256
from io import BytesIO
from types import SimpleNamespace
from typing import Any
from zipfile import ZipFile

import pytest

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
    delivery = delivery_of(bundle, to, 0.0, lambda part: BytesIO(CONTENT[part.sha256]))
    assert delivery is not None
    return delivery


def paths(bundle: Bundle, name: str = "{source}/{completed:%Y/%m}/{document}/{filename}") -> list[str]:
    delivery = made(bundle, name)
    return [*delivery.paths, delivery.manifest_path]


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
    read = opening(row(first), lambda one: BytesIO(CONTENT[one.sha256]))(part).read()

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


def row(new: NewDelivery) -> DeliveryRow:
    return DeliveryRow(
        id=new.id, signing_id="sgn_1", source="contracts", sink=new.sink, ref=FIRST.ref, title="Deed", version=1,
        supplement=0, state="waiting", parts=new.parts, paths=new.paths, manifest=new.manifest,
        manifest_path=new.manifest_path, missing=(), progress={}, members=new.members,
    )  # fmt: skip
