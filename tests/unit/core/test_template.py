"""`{name}` in texts that people edit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_svc.core.template import Field, Template, header_text, url_segment


def test_fields_and_text_are_told_apart() -> None:
    template = Template.parse("{source}/{completed:%Y/%m}/x")
    assert (Field("source"), "/", Field("completed", "%Y/%m"), "/x") == template.pieces
    assert ["{source}", "{completed:%Y/%m}"] == [str(field) for field in template.fields]


def test_doubled_braces_are_braces() -> None:
    assert '{"id": "7"}' == Template.parse('{{"id": "{id}"}}').render(lambda _: "7")


@pytest.mark.parametrize("text", ["{", "}", "a{b", "a}b", "{}", "{ a}", "{a}}", "{0}", "{a!r}", "{a:{b}}", "{{{"])
def test_a_lone_brace_is_named_with_its_place(text: str) -> None:
    with pytest.raises(ValueError, match=r"a lone '[{}]' at character \d+"):
        Template.parse(text)


def test_a_template_that_is_one_field_says_so() -> None:
    assert Field("link") == Template.parse("{link}").whole
    assert (None, None, None) == tuple(Template.parse(text).whole for text in ("", "x", "{link}/x"))


def test_each_value_is_made_to_fit_its_place_and_the_text_is_left() -> None:
    assert "/a b/x%2Fy" == Template.parse("/a b/{id}").render(lambda _: "x/y", url_segment)


def test_a_value_is_never_read_as_a_template() -> None:
    assert "{secret}" == Template.parse("{id}").render(lambda _: "{secret}")


def test_bytes_are_rendered_untouched() -> None:
    assert b"t.\xff\x00" == Template.parse("t.{body}").render_bytes(lambda _: b"\xff\x00")


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_a_segment_that_climbs_or_is_empty_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="cannot stand in a URL path"):
        url_segment(value)


@given(st.text(min_size=1, alphabet=st.characters(exclude_categories=())))
def test_a_segment_stays_one_segment_whatever_it_holds(value: str) -> None:
    if value not in (".", ".."):
        assert set() == set(url_segment(value)) & set("/?#\r\n \\")


@pytest.mark.parametrize("value", ["a\rb", "a\nb", "a\x00b"])
def test_a_header_value_that_would_add_headers_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="line break or NUL"):
        header_text(value)


def test_an_ordinary_header_value_is_left_as_it_is() -> None:
    assert "Bearer x y" == header_text("Bearer x y")


@given(st.text())
def test_parsing_ends_in_a_template_or_a_value_error(text: str) -> None:
    try:
        template = Template.parse(text)
    except ValueError:
        assert {"{", "}"} & set(text)
    else:
        assert text == template.render(str) or "{{" in text or "}}" in text
