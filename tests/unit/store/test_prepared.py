"""Prepared statements against both databases: what goes in comes out, whatever the number of rows."""

from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from webhook_svc.core.types import Stage
from webhook_svc.store.jobs import insert_jobs
from webhook_svc.store.prepared import Prepared, PreparedEach, given, inserting
from webhook_svc.store.sql import SqlStore
from webhook_svc.store.tables import reconciliation, signing

INSERT = inserting(reconciliation, "source", "mark", "next_at", "owner", unless=("source",), returning=("source",))
OWNED = Prepared(
    sa.select(reconciliation.c.source, reconciliation.c.mark)
    .where(reconciliation.c.owner == given("owner"))
    .order_by(reconciliation.c.source)
)
BOTH = {"source": reconciliation.c.source, "mark": reconciliation.c.mark}
MARK = PreparedEach(
    BOTH,
    lambda row, _: reconciliation.update().where(reconciliation.c.source == row.source).values(mark=row.mark),
)
MARKED = PreparedEach(
    BOTH,
    lambda row, _: (
        reconciliation.update()
        .where(reconciliation.c.source == row.source)
        .values(mark=row.mark)
        .returning(reconciliation.c.mark)
    ),
)


def rows(count: int) -> list[dict[str, Any]]:
    return [{"source": f"s{number}", "mark": float(number), "next_at": 0.0, "owner": "me"} for number in range(count)]


def named(found: Sequence[Any]) -> list[str]:
    return sorted(row.source for row in found)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_rows_are_inserted_and_told_unless_they_stand_already(store: SqlStore, count: int) -> None:
    names = [row["source"] for row in rows(6)]
    with store.database.write() as tx:
        assert names[:count] == named(INSERT.all(tx.driver, rows(count)))
        assert names[count:] == named(INSERT.all(tx.driver, rows(6)))
        assert names == named(OWNED.all(tx.driver, owner="me"))


@pytest.mark.parametrize("count", [0, 1, 5])
def test_each_row_is_changed_by_its_own_values(store: SqlStore, count: int) -> None:
    values = [{"source": f"s{number}", "mark": 100.0 + number} for number in range(count)]
    marks = [value["mark"] for value in values]
    with store.database.write() as tx:
        INSERT.all(tx.driver, rows(6))
        assert count == MARK.run(tx.driver, values)
        assert marks == [row.mark for row in OWNED.all(tx.driver, owner="me")][:count]
        assert marks == sorted(row.mark for row in MARKED.all(tx.driver, values))


def test_a_statement_says_how_many_rows_it_changed(store: SqlStore) -> None:
    gone = Prepared(reconciliation.delete().where(reconciliation.c.owner == given("owner")))
    with store.database.write() as tx:
        INSERT.all(tx.driver, rows(3))
        assert (3, 0) == (gone.run(tx.driver, owner="me"), gone.run(tx.driver, owner="me"))


def test_a_row_that_is_not_there_is_none_or_an_error(store: SqlStore) -> None:
    with store.database.write() as tx:
        assert OWNED.first(tx.driver, owner="nobody") is None
        with pytest.raises(LookupError):
            OWNED.one(tx.driver, owner="nobody")


def test_a_value_that_is_forgotten_is_an_error_and_never_null(store: SqlStore) -> None:
    with pytest.raises(sa.exc.SQLAlchemyError), store.database.write() as tx:
        OWNED.all(tx.driver)


def test_what_a_column_refuses_as_too_long_is_not_cut(store: SqlStore) -> None:
    long = "s" * 65
    with store.database.write() as tx:
        dialect = tx.connection.dialect.name
    if dialect == "sqlite":
        pytest.skip("SQLite refuses no length")
    with pytest.raises(sa.exc.DataError), store.database.write() as tx:
        insert_jobs(tx, Stage.PARSE, [("lane", "one"), ("lane", long)])


def test_truth_is_truth_and_bytes_are_bytes_on_both_databases(store: SqlStore) -> None:
    columns = ("id", "key", "source", "document", "ref", "state", "wanted", "released", "created", "updated")
    insert = inserting(signing, *columns, returning=("released", "key"))
    truths = [("sgn_1", b"\x00" * 32, True), ("sgn_2", b"\xff" * 32, False)]
    values = [
        dict(zip(columns, (one, key, "s", "d", "{}", "fetching", 1, released, 1.0, 1.0), strict=True))
        for one, key, released in truths
    ]
    with store.database.write() as tx:
        told = sorted(insert.all(tx.driver, values), key=lambda row: bytes(row.key))
    assert [(True, b"\x00" * 32), (False, b"\xff" * 32)] == [(row.released, bytes(row.key)) for row in told]
    assert {True, False} == {row.released for row in told}


def test_an_error_of_the_driver_comes_out_as_sqlalchemys_and_undoes_the_transaction(store: SqlStore) -> None:
    wrong = {"source": "other", "mark": 1.0, "next_at": 0.0, "owner": None}
    with pytest.raises(sa.exc.IntegrityError) as caught, store.database.write() as tx:
        INSERT.all(tx.driver, [*rows(1), wrong])
    assert not caught.value.connection_invalidated
    with store.database.write() as tx:
        assert [] == OWNED.all(tx.driver, owner="me")


def test_a_column_that_its_table_does_not_have_is_an_error() -> None:
    with pytest.raises(ValueError, match="typo"):
        inserting(reconciliation, "source", "typo")


@pytest.mark.parametrize("count", [1, 3, 33])
def test_each_value_goes_into_its_own_column_in_whatever_order_they_are_named(store: SqlStore, count: int) -> None:
    insert = inserting(reconciliation, "owner", "next_at", "source", "mark")
    rows = [{"source": f"s{number:02}", "mark": 1.0, "next_at": 2.0, "owner": f"o{number}"} for number in range(count)]
    with store.database.write() as tx:
        insert.run(tx.driver, rows)
        told = Prepared(sa.select(*(reconciliation.c[name] for name in rows[0])).order_by(reconciliation.c.source))
        assert rows == [row._asdict() for row in told.all(tx.driver)]
