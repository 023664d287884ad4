"""Statements written once in SQLAlchemy's words, turned into SQL text at their first use, and run on the driver itself:
to build an expression and take it through SQLAlchemy costs many times what the database needs to run it.

`driver` is the sqlite3 or psycopg connection of a transaction or a read. What it raises is translated where that was
opened (`engine.translated`).
"""

import json
import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.dml import UpdateBase

given = sa.bindparam
"""A value that comes with the call: `job.c.id == given("id")`."""

Statement = sa.Select[Any] | UpdateBase
Values = Mapping[str, Any]
Row = Any
"""A named tuple of the statement's columns."""

MOST_ROWS = 32
"""Of one statement for SQLite, whose older versions take 999 values."""

_DIALECTS: dict[str, Callable[[], Dialect]] = {
    "sqlite": lambda: sqlite.dialect(paramstyle="named"),
    "postgresql": PGDialect_psycopg,
}


def dialect_of(driver: Any) -> str:
    return "sqlite" if isinstance(driver, sqlite3.Connection) else "postgresql"


class Prepared:
    """A statement whose values come by name. It has one text for ever: its shape may not depend on them."""

    def __init__(self, statement: Statement | Callable[[str], Statement]) -> None:
        """`statement` may be a function of "sqlite" or "postgresql", where the two need different words."""
        self._statement = statement
        self._texts: dict[str, Text] = {}

    def all(self, driver: Any, /, **values: Any) -> list[Row]:
        text = self._text(driver)
        return [text.row(found) for found in text.execute(driver, values)]

    def first(self, driver: Any, /, **values: Any) -> Row | None:
        text = self._text(driver)
        found = text.execute(driver, values).fetchone()
        return None if found is None else text.row(found)

    def one(self, driver: Any, /, **values: Any) -> Row:
        """LookupError where there is none."""
        row = self.first(driver, **values)
        if row is None:
            raise LookupError("a row that must be there is not")
        return row

    def run(self, driver: Any, /, **values: Any) -> int:
        """How many rows it changed. Not for a statement that returns some."""
        return int(self._text(driver).execute(driver, values).rowcount)

    def run_each(self, driver: Any, rows: Sequence[Values]) -> int:
        """How many rows were changed by all of them. For SQLite: to a server each would be a way of its own."""
        return self._text(driver).execute_each(driver, rows)

    def _text(self, driver: Any) -> "Text":
        dialect = dialect_of(driver)
        text = self._texts.get(dialect)
        if text is None:
            statement = self._statement(dialect) if callable(self._statement) else self._statement
            text = self._texts[dialect] = Text(statement, _DIALECTS[dialect]())
        return text


class PreparedEach:
    """A statement for each of many rows: on Postgres a single one over arrays; on SQLite, to which no statement has a
    way to go, one after the other."""

    def __init__(self, columns: Mapping[str, sa.Column[Any]], statement: Callable[[Any, str], Statement]) -> None:
        """`statement(row, dialect)` is written over `row.NAME` for each name in `columns`; the rows bring just these,
        of these columns' types. `row.table` selects them all where they are many, else it is None."""
        self._names = tuple(columns)
        self._one = Prepared(lambda dialect: statement(_scalars(columns), dialect))
        self._many = Prepared(lambda dialect: statement(_arrays(columns), dialect))

    def all(self, driver: Any, rows: Sequence[Values]) -> list[Row]:
        """What is returned, in no order that means anything."""
        if self._at_once(driver, rows):
            return self._many.all(driver, **self._turned(rows))
        return [found for row in rows for found in self._one.all(driver, **row)]

    def run(self, driver: Any, rows: Sequence[Values]) -> int:
        """How many rows were changed, by a statement that returns none."""
        if self._at_once(driver, rows):
            return self._many.run(driver, **self._turned(rows))
        return self._one.run_each(driver, rows) if len(rows) > 1 else sum(self._one.run(driver, **row) for row in rows)

    def _at_once(self, driver: Any, rows: Sequence[Values]) -> bool:
        return len(rows) > 1 and dialect_of(driver) == "postgresql"

    def _turned(self, rows: Sequence[Values]) -> dict[str, list[Any]]:
        return {name: [row[name] for row in rows] for name in self._names}


def each_text(name: str, dialect: str) -> sa.TableValuedAlias:
    """A table of the texts that are given by that name (see `as_texts`), in its column `value`."""
    if dialect == "sqlite":
        return sa.func.json_each(given(name)).table_valued(sa.column("value", sa.Text()))
    texts = sa.func.unnest(given(name, type_=postgresql.ARRAY(sa.Text())))
    return texts.table_valued(sa.column("value", sa.Text()), name="texts").render_derived()


def as_texts(driver: Any, texts: Iterable[str]) -> Any:
    return json.dumps(list(texts)) if dialect_of(driver) == "sqlite" else list(texts)


def moment(name: str, dialect: str) -> sa.ColumnElement[float]:
    """The time that is given by that name; on Postgres, where that is None, its own."""
    at: sa.ColumnElement[float] = given(name, type_=sa.Double())
    if dialect == "sqlite":
        return at
    return sa.func.coalesce(at, sa.literal_column("extract(epoch FROM statement_timestamp())", sa.Double()))


class Inserting(PreparedEach):
    """Rows for a table. SQLite too takes several at once: with every statement it lets the other threads of the process
    go first, which under load costs more than the statement."""

    def __init__(
        self, table: sa.Table, columns: Sequence[str], unless: Sequence[str], returning: Sequence[str]
    ) -> None:
        self._table, self._unless, self._returning = table, unless, returning
        self._columns = sorted(columns, key=table.c.keys().index)  # the order of what is compiled
        self._sized: dict[int, Text] = {}
        super().__init__({name: table.c[name] for name in self._columns}, self._one_or_array)

    def all(self, driver: Any, rows: Sequence[Values]) -> list[Row]:
        if dialect_of(driver) == "postgresql":
            return super().all(driver, rows)
        portions = self._portions(rows)
        return [text.row(found) for text, values in portions for found in text.execute_in_order(driver, values)]

    def run(self, driver: Any, rows: Sequence[Values]) -> int:
        if dialect_of(driver) == "postgresql":
            return super().run(driver, rows)
        return sum(int(text.execute_in_order(driver, values).rowcount) for text, values in self._portions(rows))

    def _portions(self, rows: Sequence[Values]) -> Iterator[tuple["Text", list[Any]]]:
        """By powers of two, so that a few statements serve every number."""
        start = 0
        while start < len(rows):
            size = min(1 << (len(rows) - start).bit_length() - 1, MOST_ROWS)
            yield self._of_size(size), [row[name] for row in rows[start : start + size] for name in self._columns]
            start += size

    def _of_size(self, size: int) -> "Text":
        if size not in self._sized:
            order = [(f"{name}_{number}", self._table.c[name]) for number in range(size) for name in self._columns]
            binds = iter([given(bind, type_=column.type) for bind, column in order])
            rows = [{name: next(binds) for name in self._columns} for _ in range(size)]
            text = Text(self._finished(sqlite.insert(self._table).values(rows)), sqlite.dialect(paramstyle="qmark"))
            if text.order != [bind for bind, _ in order]:
                raise TypeError(f"{self._table.name}: the values do not stand in the order of their columns")
            self._sized[size] = text
        return self._sized[size]

    def _one_or_array(self, row: Any, dialect: str) -> Statement:
        insert = postgresql.insert(self._table) if dialect == "postgresql" else sqlite.insert(self._table)
        if row.table is None:
            return self._finished(insert.values({name: getattr(row, name) for name in self._columns}))
        return self._finished(insert.from_select(self._columns, row.table))

    def _finished(self, insert: "postgresql.Insert | sqlite.Insert") -> Statement:
        if self._unless:
            insert = insert.on_conflict_do_nothing(index_elements=self._unless)
        return insert.returning(*(self._table.c[name] for name in self._returning)) if self._returning else insert


def inserting(
    table: sa.Table, *columns: str, unless: Sequence[str] = (), returning: Sequence[str] = ()
) -> PreparedEach:
    """Rows of these columns. One that stands already, equal in `unless`, which names a unique key, stays as it is."""
    return Inserting(table, columns, unless, returning)


def _scalars(columns: Mapping[str, sa.Column[Any]]) -> Any:
    binds = [given(name, type_=column.type) for name, column in columns.items()]
    return _named((*columns, "table"))._make((*binds, None))


def _arrays(columns: Mapping[str, sa.Column[Any]]) -> Any:
    types = {name: _without_length(column.type) for name, column in columns.items()}
    arrays = [given(name, type_=postgresql.ARRAY(kind)) for name, kind in types.items()]
    named = [sa.column(name, kind) for name, kind in types.items()]
    rows = sa.func.unnest(*arrays).table_valued(*named, name="given").render_derived()
    return _named((*columns, "table"))._make((*rows.c, sa.select(*rows.c)))


def _without_length(kind: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
    """A cast to a length would cut silently what the column refuses."""
    return sa.Text() if isinstance(kind, sa.String) else kind


def _named(names: Sequence[str]) -> Any:
    return namedtuple("Row", names)


class Text:
    """A statement as one database reads it, and what its rows are made of."""

    def __init__(self, statement: Statement, dialect: Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        if compiled.post_compile_params:
            raise TypeError("a list of values has no place in a prepared statement: its length is part of the text")
        self.sql = str(compiled)
        self.order = compiled.positiontup
        for name, bind in compiled.binds.items():
            if isinstance(bind.type, postgresql.ARRAY):  # as text every quote in it is escaped, in Python
                self.sql = self.sql.replace(f"%({name})s", f"%({name})b")
        self.fixed = {name: bind.value for bind, name in compiled.bind_names.items() if not bind.required}
        self.row = _row(list(statement.exported_columns), dialect)

    def execute(self, driver: Any, values: dict[str, Any]) -> Any:
        """A cursor that has run it."""
        return driver.execute(self.sql, values | self.fixed if self.fixed else values)

    def execute_in_order(self, driver: Any, values: list[Any]) -> Any:
        """Likewise, of a statement that takes its values by position."""
        return driver.execute(self.sql, values)

    def execute_each(self, driver: Any, rows: Sequence[Values]) -> int:
        filled = [{**row, **self.fixed} for row in rows] if self.fixed else rows
        cursor = driver.cursor()
        try:
            cursor.executemany(self.sql, filled)
            return int(cursor.rowcount)
        finally:
            cursor.close()


def _row(columns: Sequence[Any], dialect: Dialect) -> Callable[[Sequence[Any]], Row]:
    make = _named([column.key for column in columns])._make
    bools = [isinstance(column.type, sa.Boolean) for column in columns]
    if dialect.name != "sqlite" or not any(bools):
        return make  # type: ignore[no-any-return]

    def with_bools(found: Sequence[Any]) -> Row:
        """SQLite knows 0 and 1 only."""
        return make([bool(value) if one else value for one, value in zip(bools, found, strict=True)])

    return with_bools
