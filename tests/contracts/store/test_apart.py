"""A store apart: beside the real one, without touching it, and gone afterwards."""

from pathlib import Path

import pytest

from webhook_svc.core.errors import StoreUnavailable
from webhook_svc.store.apart import apart
from webhook_svc.store.sql import SqlStore


def revision_of(url: str) -> str:
    """ "" where the store serves."""
    store = SqlStore(url)
    try:
        return store.ready()
    finally:
        store.close()


def test_it_is_a_store_of_its_own_that_can_be_migrated(empty_url: str) -> None:
    with apart(empty_url) as (url, _):
        store = SqlStore(url)
        store.migrate()
        assert "" == store.ready()
        store.close()
        assert revision_of(empty_url).startswith("the schema is at nothing")


def test_it_is_gone_afterwards_even_if_the_trial_failed(empty_url: str) -> None:
    used = []

    def trial() -> None:
        with apart(empty_url) as (url, _):
            used.append(url)
            store = SqlStore(url)
            store.migrate()
            store.close()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        trial()

    assert revision_of(used[0]).startswith("the schema is at nothing")


def test_two_of_them_do_not_meet(empty_url: str) -> None:
    with apart(empty_url) as (one, _), apart(empty_url) as (other, _):
        assert one != other


def test_a_folder_that_was_made_for_it_goes_too(tmp_path: Path) -> None:
    with apart(f"sqlite:///{tmp_path}/data/deep/store.db") as (url, _):
        store = SqlStore(url)
        store.migrate()
        store.close()

    assert [] == list(tmp_path.iterdir())


def test_a_pooler_that_drops_the_search_path_is_refused(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As PgBouncer does where it is told to ignore `options`."""
    import sqlalchemy as sa

    real = sa.create_engine

    def without_options(url: sa.URL, **more: object) -> sa.Engine:
        return real(url.difference_update_query(["options"]), **more)

    monkeypatch.setattr(sa, "create_engine", without_options)

    with pytest.raises(StoreUnavailable, match="search_path"), apart(postgres_url):
        pass


def test_a_database_that_is_away_is_told_in_one_sentence() -> None:
    with pytest.raises(StoreUnavailable), apart("postgresql://127.0.0.1:9/nobody"):
        pass
