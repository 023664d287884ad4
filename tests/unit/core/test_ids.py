"""Names of things."""

from hypothesis import given
from hypothesis import strategies as st

from webhook_svc.core.ids import digest, fingerprint, new_id, storable

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()))


def test_ids_sort_by_time() -> None:
    made = [new_id("evt", 1_700_000_000 + step / 1000) for step in range(50)]
    assert sorted(made) == made


def test_an_id_has_its_prefix_and_26_digits_that_cannot_be_confused() -> None:
    made = new_id("evt", 1_700_000_000.0)
    assert ("evt_", 30) == (made[:4], len(made))
    assert set() == set(made[4:]) & set("ilou")


def test_two_ids_of_one_moment_differ() -> None:
    assert 1000 == len({new_id("evt", 1.0) for _ in range(1000)})


@given(st.lists(ANY_TEXT, max_size=4), st.lists(ANY_TEXT, max_size=4))
def test_only_equal_lists_of_parts_share_a_digest(one: list[str], other: list[str]) -> None:
    assert (one == other) == (digest(*one) == digest(*other))


def test_a_digest_is_32_bytes_and_takes_text_and_bytes_alike() -> None:
    assert digest("ab", "c") == digest(b"ab", b"c") != digest("a", "bc")
    assert 32 == len(digest())


def test_a_fingerprint_tells_secrets_apart_and_gives_neither_away() -> None:
    assert fingerprint("hunter2") != fingerprint("hunter3")
    assert (8, False) == (len(fingerprint("hunter2")), "hunter2" in fingerprint("hunter2"))


@given(ANY_TEXT)
def test_foreign_text_becomes_text_that_a_database_takes(text: str) -> None:
    kept = storable(text, limit=20)
    assert 20 >= len(kept)
    assert b"\x00" not in kept.encode("utf-8")


def test_ordinary_text_is_stored_as_it_is() -> None:
    assert "Vertrag für Zoë 🎉" == storable("Vertrag für Zoë 🎉")


def test_text_that_is_cut_shows_it() -> None:
    assert "aaaa…" == storable("a" * 9, limit=5)
