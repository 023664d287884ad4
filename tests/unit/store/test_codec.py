"""What stands in a column comes back as it was, whatever foreign text it holds."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from webhook_svc.core.types import DocumentRef, Part, RawRequest, Receipt
from webhook_svc.core.work import NewDelivery
from webhook_svc.store import codec

ANY_TEXT = st.text(st.characters(codec=None))
TEXTS = st.lists(ANY_TEXT, max_size=3).map(tuple)


@given(ANY_TEXT, ANY_TEXT, st.lists(st.tuples(ANY_TEXT, ANY_TEXT), max_size=3), st.binary(max_size=20))
def test_a_request_comes_back_as_it_was(path: str, query: str, headers: Any, body: bytes) -> None:
    request = RawRequest(path=path, query=query, headers=tuple(headers), body=body)
    stored = codec.dump_request(request)
    assert stored.isascii()
    assert "\x00" not in stored
    assert request == codec.load_request(stored, body)


@given(ANY_TEXT, st.none() | st.floats(0, 1e12), TEXTS, st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=3))
def test_a_reference_comes_back_as_it_was(text: str, completed: float | None, parts: Any, hints: Any) -> None:
    ref = DocumentRef(id=text, round=text, name=text, completed=completed, parts=parts, hints=hints)
    assert ref == codec.load_ref(codec.dump_ref(ref))


@given(ANY_TEXT, TEXTS)
def test_a_bundle_comes_back_as_it_was(text: str, missing: Any) -> None:
    one = Part(kind="document", name=text, sha256="0" * 64, size=2**40, content_type=text)
    new = NewDelivery(
        id="dlv_1",
        sink="archive",
        supplement=0,
        parts=(one,),
        paths=(text,),
        manifest='{"é": 1}'.encode(),
        manifest_path=text,
        missing=missing,
    )
    found = codec.load_bundle(codec.dump_bundle(new, text))
    assert (text, (one,), (text,), missing) == (found["title"], found["parts"], found["paths"], found["missing"])
    assert (new.manifest, new.manifest_path) == (found["manifest"], found["manifest_path"])


def test_a_receipt_keeps_its_details_as_plain_values() -> None:
    receipt = Receipt(location="l", proof="p", details={"accepted": ("a", "b"), "size": 3, "deep": {"x": [1]}})
    expected = {"accepted": ["a", "b"], "size": 3, "deep": {"x": [1]}}
    assert expected == json.loads(codec.dump_receipt(receipt))["details"]
