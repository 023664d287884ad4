"""The schema's history, run by Alembic: idempotent, and safe to run twice at once.

Alembic is imported where it runs: every process starts a sixth sooner without it.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError

from .committer import worth_repeating
from .engine import PostgresDatabase, SqliteDatabase

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0003"
"""The revision this code needs. A test compares it with the newest migration."""

_LOCK = 0x77656268  # "webh": any constant that no one else takes

_TRIES = 20


def migrate(database: SqliteDatabase | PostgresDatabase) -> str:
    """Brings the schema to HEAD in one transaction. A sentence on what was done.

    The service may go on meanwhile. It takes its tables in another order, so that now and then the database ends one of
    the two for the other's sake: then the migration begins again.
    """
    for _ in range(_TRIES - 1):
        try:
            return _migrate(database)
        except DBAPIError as error:
            if not worth_repeating(error):
                raise
    return _migrate(database)


def _migrate(database: SqliteDatabase | PostgresDatabase) -> str:
    from alembic import command

    with database.lock(), database.write() as tx:
        if tx.connection.dialect.name == "postgresql":
            patient = "SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', '0', true)"
            tx.connection.execute(sa.text(patient))
            tx.connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        before = _revision(tx.connection)
        if _serves(before):
            return f"the schema is at {before} already"
        config = alembic_config()
        config.attributes["connection"] = tx.connection
        command.upgrade(config, HEAD)
        return f"the schema went from {before or 'nothing'} to {HEAD}"


def missing(connection: Connection) -> str:
    """ "" where the schema serves this code, else a sentence."""
    found = _revision(connection)
    return "" if _serves(found) else f"the schema is at {found or 'nothing'}, run `webhook-svc migrate` ({HEAD})"


def alembic_config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def _serves(revision: str | None) -> bool:
    """A newer schema does: during a deploy the processes of the old release go on beside those of the new one."""
    return revision is not None and revision.isdecimal() and int(revision) >= int(HEAD)


def _revision(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    try:
        return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    except (OperationalError, ProgrammingError):
        return None
