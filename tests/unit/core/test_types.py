"""Foreign bytes that should be JSON, and the sentence for those that are none."""

import pytest

from webhook_svc.core.types import parse_json


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b'{"token": "t0p"', "it goes wrong at character 15"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b'{"a": "\xff"}', "it is not UTF-8 text"),
        (b"1" * 5_000, "it holds a number that is too long"),
    ],
)
def test_what_is_no_json_is_told_in_words_that_show_nothing_of_it(body: bytes, sentence: str) -> None:
    with pytest.raises(ValueError) as error:
        parse_json(body)
    assert f"not JSON: {sentence}" == str(error.value)
