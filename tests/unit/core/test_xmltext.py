"""A few texts out of foreign XML; whatever it declares, however large it is, nothing else happens."""

import pytest

from webhook_svc.core.xmltext import is_xml, texts

BOMB = '<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><r><s>&b;</s></r>'
DECLARED = {
    "a bomb": BOMB,
    "an entity that is never used": '<!DOCTYPE r [<!ENTITY a "x">]><r/>',
    "a file": '<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/hostname">]><r><s>&a;</s></r>',
    "a parameter entity": '<!DOCTYPE r [<!ENTITY % a SYSTEM "http://127.0.0.1:1/a"> %a;]><r/>',
    "a DTD from elsewhere": '<!DOCTYPE r SYSTEM "http://127.0.0.1:1/a.dtd"><r/>',
    "a DTD by its public name": '<!DOCTYPE r PUBLIC "-//X//Y" "http://127.0.0.1:1/a.dtd"><r/>',
    "a DOCTYPE alone": "<!DOCTYPE r><r/>",
    "attributes with defaults": '<!DOCTYPE r [<!ATTLIST r a CDATA "x">]><r/>',
    "elements": "<!DOCTYPE r [<!ELEMENT r ANY>]><r/>",
    "a notation": '<!DOCTYPE r [<!NOTATION n SYSTEM "n">]><r/>',
}
BROKEN = {
    "nothing": b"",
    "blanks": b" \n",
    "text": b"hello",
    "JSON": b'{"a": 1}',
    "cut off": b"<r><s>x</s>",
    "cut off in a name": b"<r><s",
    "more behind its end": b"<r/><r/>",
    "tags that cross": b"<r><s></r></s>",
    "an entity that nobody declared": b"<r>&a;</r>",
    "a null": b"<r>\x00</r>",
    "a character that is none": b"<r>&#0;</r>",
    "no UTF-8": b"<r>\xff</r>",
    "half a character": b"<r>\xc3</r>",
    "UTF-16 cut in half": "<r>x</r>".encode("utf-16")[:-1],
    "a declaration too late": b'<r/><?xml version="1.0"?>',
}


@pytest.mark.parametrize(
    "body",
    [
        b"<r><s>x</s><t>y</t></r>",
        b'<?xml version="1.0" encoding="utf-8"?>\r\n<r>\r\n <s> x </s>\r\n <t/>\r\n</r>\r\n',
        b"\xef\xbb\xbf<r><s>x</s></r>",
        b'<r xmlns="urn:a"><s>x</s></r>',
        b'<a:r xmlns:a="urn:a"><a:s b="c">x</a:s></a:r>',
        b"<r><!-- a --><?b c?><s><![CDATA[x]]></s></r>",
        b"<r><s>&#120;</s></r>",
        "<r><s>x</s></r>".encode("utf-16"),
        '<?xml version="1.0" encoding="UTF-16"?><r><s>x</s></r>'.encode("utf-16"),
    ],
)
def test_a_text_is_found_by_its_path_however_it_is_written(body: bytes) -> None:
    assert {"r/s": "x"} == texts(body, ["r/s", "r/u", "s"])


def test_letters_come_in_the_encoding_that_is_declared() -> None:
    body = '<?xml version="1.0" encoding="ISO-8859-1"?><r><s>Brücke</s></r>'.encode("latin-1")
    assert {"r/s": "Brücke"} == texts(body, ["r/s"])


def test_what_stands_in_between_does_not_belong_to_the_text() -> None:
    assert {"r/s": "ab"} == texts(b"<r>1<s>a<u>2</u>b</s>3</r>", ["r/s"])


def test_of_a_path_elsewhere_nothing_is_taken() -> None:
    assert {} == texts(b"<r><x><s>x</s></x></r>", ["r/s"])


@pytest.mark.parametrize("text", DECLARED.values(), ids=DECLARED)
def test_whatever_is_declared_nothing_is_read(text: str) -> None:
    with pytest.raises(ValueError, match="DOCTYPE"):
        texts(text.encode(), ["r/s"])


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_what_is_not_well_formed_is_one_kind_of_error(body: bytes) -> None:
    with pytest.raises(ValueError, match="not XML: it goes wrong at byte"):
        texts(body, ["r/s"])


@pytest.mark.parametrize("encoding", ["koi8-r", "windows-1252", "utf-7", "cp037", "gb18030", "zlib", "utf-8x"])
def test_an_encoding_that_nobody_sends_is_not_looked_up(encoding: str) -> None:
    with pytest.raises(ValueError, match="the encoding that the XML names"):
        texts(f'<?xml version="1.0" encoding="{encoding}"?><r/>'.encode(), ["r/s"])


def test_an_element_that_stands_twice_is_ambiguous() -> None:
    with pytest.raises(ValueError, match="r/s stands twice"):
        texts(b"<r><s>x</s><s>x</s></r>", ["r/s"])


def test_deep_nesting_is_refused_and_costs_nothing() -> None:
    assert {} == texts(b"<a>" * 64 + b"</a>" * 64, ["r/s"])
    with pytest.raises(ValueError, match="nested too deeply"):
        texts(b"<a>" * 65 + b"</a>" * 65, ["r/s"])
    with pytest.raises(ValueError, match="nested too deeply"):
        texts(b"<a>" * 1_000_000, ["r/s"])


def test_more_elements_than_anybody_sends_are_refused() -> None:
    with pytest.raises(ValueError, match="too many elements"):
        texts(b"<r>" + b"<a/>" * 500_000, ["r/s"])


@pytest.mark.parametrize("body", [b"<" + b"r" * 257 + b"/>", b"<r><" + b"s" * 9_000_000 + b">"], ids=["257", "9 MB"])
def test_a_name_has_a_limit(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"too long a name|not XML"):
        texts(body, ["r/s"])


def test_a_long_namespace_is_not_read_again_with_every_name() -> None:
    body = b'<r xmlns="' + b"u" * 1_000_000 + b'">' + b"<a/>" * 20_000 + b"<s>x</s></r>"
    assert {"r/s": "x"} == texts(body, ["r/s"])


def test_a_text_that_is_wanted_has_a_limit() -> None:
    assert {"r/s": "x" * 4096} == texts(b"<r><s>" + b"x" * 4096 + b"</s></r>", ["r/s"])
    with pytest.raises(ValueError, match="longer than anybody writes"):
        texts(b"<r><s>" + b"x" * 4097 + b"</s></r>", ["r/s"])


def test_a_text_that_is_not_wanted_has_none() -> None:
    assert {"r/s": "x"} == texts(b"<r><b>" + b"y" * 5_000_000 + b"</b><s>x</s></r>", ["r/s"])


def test_no_error_quotes_the_body() -> None:
    for body in (*BROKEN.values(), *(text.encode() for text in DECLARED.values()), b"<r><s>MARK</s><s>"):
        with pytest.raises(ValueError) as raised:
            texts(body, ["r/s"])
        assert "MARK" not in str(raised.value)


@pytest.mark.parametrize(
    ("body", "xml"),
    [
        (b"<r/>", True),
        (b" \r\n\t<r/>", True),
        (b"\xef\xbb\xbf<r/>", True),
        ("<r/>".encode("utf-16"), True),
        ("<r/>".encode("utf-16-be"), True),
        (b"", False),
        (b"{}", False),
        (b'{"<": 1}', False),
        (b'"<r/>"', False),
        (b" " * 100 + b"<r/>", False),
    ],
)
def test_xml_is_told_from_json_by_its_beginning(body: bytes, xml: bool) -> None:
    assert xml == is_xml(body)
