"""A store of one's own beside the configured one, for a trial: on Postgres a schema, on SQLite a file. Gone afterwards.

Nothing of the configured store is read or written.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DBAPIError, ProgrammingError

from ..core.errors import StoreUnavailable
from .engine import normal_url

_FILES = ("", "-wal", "-shm", "-journal", ".lock")


@contextmanager
def apart(url: str) -> Iterator[tuple[str, str]]:
    """(address, what it is in words) of a new store without a schema. StoreUnavailable where it cannot be made, or not
    be removed. ValueError for another address than that of a store."""
    parsed = normal_url(url)
    name = f"webhook_svc_prove_{secrets.token_hex(4)}"
    with _file(parsed, name) if parsed.get_backend_name() == "sqlite" else _schema(parsed, name) as made:
        yield made


@contextmanager
def _file(url: URL, name: str) -> Iterator[tuple[str, str]]:
    """In the same folder, and so on the same disk."""
    folder = Path(url.database or "").absolute().parent
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    file = folder / f"{name}.db"
    try:
        yield f"sqlite:///{file}", f"the file {file}"
    finally:
        for ending in _FILES:
            Path(f"{file}{ending}").unlink(missing_ok=True)
        with suppress(OSError):  # somebody has begun to use it
            for one in made:
                one.rmdir()


@contextmanager
def _schema(url: URL, name: str) -> Iterator[tuple[str, str]]:
    with _connected(url) as connection:
        _create(connection, name)
    try:
        options = f"{url.query.get('options', '')} -csearch_path={name}".strip()
        own = url.update_query_dict({"options": options})
        with _connected(own) as connection:
            _check(connection, name)
        address = own.set(drivername="postgresql").render_as_string(hide_password=False)
        yield address, f"the schema {name} of the database {url.database}"
    finally:
        with _connected(url, f"the schema {name} is still there: ") as connection:
            connection.exec_driver_sql(f"DROP SCHEMA {name} CASCADE")


def _create(connection: Connection, name: str) -> None:
    try:
        connection.exec_driver_sql(f"CREATE SCHEMA {name}")
    except ProgrammingError as error:
        role = connection.exec_driver_sql("SELECT current_user").scalar_one()
        raise StoreUnavailable(
            f"the role {role} may not create a schema in this database, which the proof would live in"
            " (GRANT CREATE ON DATABASE … allows it)"
        ) from error


def _check(connection: Connection, name: str) -> None:
    """A pooler may drop what a connection asks for: then all would end in the tables of the real store."""
    if connection.exec_driver_sql("SELECT current_schema()").scalar() != name:
        raise StoreUnavailable(
            "what stands before this database drops the search_path of a connection: give the database's own address"
        )


@contextmanager
def _connected(url: URL, before: str = "") -> Iterator[Connection]:
    """Each statement is committed at once. StoreUnavailable with the first line of what the database says."""
    try:
        engine = sa.create_engine(
            url,
            poolclass=sa.NullPool,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
            connect_args={"connect_timeout": 10, "prepare_threshold": None},
        )
    except ModuleNotFoundError as error:
        raise StoreUnavailable(
            f"{error.name} is missing, Postgres needs: pip install 'webhook-svc[postgres]'"
        ) from error
    try:
        with engine.connect() as connection:
            yield connection
    except DBAPIError as error:
        raise StoreUnavailable(f"{before}{str(error.orig).splitlines()[0][:200]}") from error
    finally:
        engine.dispose()
