"""Where the files of a signing go: safe, and apart from each other whatever the version, round or supplement."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from webhook_svc.core.template import Template
from webhook_svc.core.types import DocumentRef, Part
from webhook_svc.pipeline.bundle import Bundle, delivery_of, named_apart, segment
from webhook_svc.pipeline.parties import Target

DEED = Part(kind="document", name="Deed.pdf", sha256="ab" * 32, size=9)
CERTIFICATE = Part(kind="certificate", name="certificate.pdf", sha256="cd" * 32, size=9)
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


def paths(bundle: Bundle, name: str = "{source}/{completed:%Y/%m}/{document}/{filename}") -> list[str]:
    sink: Any = SimpleNamespace()
    delivery = delivery_of(bundle, Target(name="archive", sink=sink, path=Template.parse(name)), 0.0)
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
    sink: Any = SimpleNamespace()
    target = Target(name="archive", sink=sink, path=Template.parse("{document}/{filename}"))
    manifest = delivery_of(replace(FIRST, parts=(DEED,), missing=("certificate",)), target, 0.0).manifest.decode()

    assert f'"sha256": "{DEED.sha256}"' in manifest
    assert '"path": "d1/Deed.pdf"' in manifest
    assert '"missing": [\n    "certificate"\n  ]' in manifest
