"""The tables, and what each state in them means. The database defends the state machine: CHECKs and partial indexes.

Times are Unix seconds by the database's clock. Keys are SHA-256 digests, so that no foreign text is ever compared;
foreign text is stored as JSON or through `core.ids.storable`. Ids sort by time.
"""

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "ck": "ck_%(table_name)s_%(constraint_name)s"}
)

_Id = sa.String(40)
_Time = sa.Double
_Digest = sa.LargeBinary(32)


def is_state(table: sa.Table, *states: str) -> sa.ColumnElement[bool]:
    """The states are written into the statement, not bound: only so can a partial index of theirs serve it."""
    literals = [sa.literal_column(f"'{state}'", sa.String) for state in states]
    return table.c.state == literals[0] if len(literals) == 1 else table.c.state.in_(literals)


def is_bad(table: sa.Table) -> sa.ColumnElement[bool]:
    """Dead, or held for a person to decide."""
    return is_state(table, *(("dead",) if table is event else ("dead", "held")))


def _states(*states: str) -> sa.CheckConstraint:
    return sa.CheckConstraint("state IN (" + ", ".join(f"'{state}'" for state in states) + ")", name="state")


# accepted  on disk, its parse job waits or runs
# parsed    what it says is known, its signings have it
# ignored   it asks for nothing; `reason` says why
# dead      it could not be understood; kept, replayable
# `origin`: callback, or listed, where the provider's list told of a signing that no callback had named.
event = sa.Table(
    "event",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("key", _Digest, nullable=False, unique=True),
    sa.Column("source", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("type", sa.Text, nullable=False, server_default=""),
    sa.Column("sender_id", sa.Text, nullable=False, server_default=""),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("delivery_id", sa.Text, nullable=False, server_default=""),
    sa.Column("verified_by", sa.String(64), nullable=False, server_default=""),
    sa.Column("hint", sa.Boolean, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("received", _Time, nullable=False),
    sa.Column("copies", sa.Integer, nullable=False, server_default="0"),
    sa.Column("queued", _Time, nullable=False),
    sa.Column("origin", sa.String(16), nullable=False, server_default="callback"),
    _states("accepted", "parsed", "ignored", "dead"),
    sa.Index(None, "source", "id"),
    sa.Index("ix_event_dead", "id", postgresql_where=sa.text("state = 'dead'"), sqlite_where=sa.text("state = 'dead'")),
)

# The bytes as they arrived, in a table of their own: claiming and listing never touch them, retention empties it first.
payload = sa.Table(
    "payload",
    metadata,
    sa.Column("event_id", _Id, sa.ForeignKey("event.id"), primary_key=True),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("received", _Time, nullable=False, index=True),
)

# Callbacks that did not verify, masked: the newest few per source.
refused = sa.Table(
    "refused",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("source", sa.String(64), nullable=False),
    sa.Column("at", _Time, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index(None, "source", "id"),
)

# fetching  a fetch job waits or runs
# complete  every wanted part is fetched (its deliveries may still be on their way); at version 0 there rightly is
#           none: `reason` says why, or it led to other documents
# partial   handed on without some wanted part; a later event fetches again
# dead      fetching was given up; `reason` says why
# held      a person has to decide; `reason` says what
signing = sa.Table(
    "signing",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("key", _Digest, nullable=False, unique=True),
    sa.Column("source", sa.String(64), nullable=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("ref", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False, server_default=""),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("wanted", sa.Integer, nullable=False),
    sa.Column("fetched", sa.Integer, nullable=False, server_default="0"),
    sa.Column("change", sa.Integer, nullable=False, server_default="0"),
    sa.Column("version", sa.Integer, nullable=False, server_default="0"),
    sa.Column("supplements", sa.Integer, nullable=False, server_default="0"),
    sa.Column("lacking", sa.Text, nullable=False, server_default="[]"),
    sa.Column("released", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("created", _Time, nullable=False),
    sa.Column("updated", _Time, nullable=False),
    _states("fetching", "complete", "partial", "dead", "held"),
    sa.CheckConstraint("fetched <= wanted", name="fetched"),
    sa.Index(None, "source", "id"),
    sa.Index(
        "ix_signing_dead",
        "id",
        postgresql_where=sa.text("state IN ('dead', 'held')"),
        sqlite_where=sa.text("state IN ('dead', 'held')"),
    ),
)

# Which events spoke of which signing.
signing_event = sa.Table(
    "signing_event",
    metadata,
    sa.Column("signing_id", _Id, sa.ForeignKey("signing.id"), primary_key=True),
    sa.Column("event_id", _Id, sa.ForeignKey("event.id"), primary_key=True, index=True),
)

# What was fetched of a document id that is signed in rounds: a digest of its bytes, or of the round by which the list
# calls it, and the signing that had it first.
content = sa.Table(
    "content",
    metadata,
    sa.Column("key", _Digest, primary_key=True),
    sa.Column("signing_id", _Id, sa.ForeignKey("signing.id"), nullable=False, index=True),
)

# `supplement` is the bundle of this version that the part went out with (0 = the first), NULL while it has not.
part = sa.Table(
    "part",
    metadata,
    sa.Column("signing_id", _Id, sa.ForeignKey("signing.id"), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("sha256", _Digest, nullable=False, index=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("content_type", sa.Text, nullable=False),
    sa.Column("supplement", sa.Integer),
)

# waiting    its deliver job waits or runs
# delivered  the receipt is here
# dead       given up; `reason` says why
# held       a person has to decide
delivery = sa.Table(
    "delivery",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("key", _Digest, nullable=False, unique=True),
    sa.Column("signing_id", _Id, sa.ForeignKey("signing.id"), nullable=False, index=True),
    sa.Column("source", sa.String(64), nullable=False),
    sa.Column("sink", sa.String(64), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("supplement", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("bundle", sa.Text, nullable=False),
    sa.Column("progress", sa.Text, nullable=False, server_default="{}"),
    sa.Column("receipt", sa.Text),
    sa.Column("created", _Time, nullable=False),
    sa.Column("done", _Time),
    _states("waiting", "delivered", "dead", "held"),
    sa.CheckConstraint("(state = 'delivered') = (receipt IS NOT NULL)", name="receipt"),
    sa.Index(None, "sink", "id"),
    sa.Index(None, "source", "id"),
    sa.Index(
        "ix_delivery_dead",
        "id",
        postgresql_where=sa.text("state IN ('dead', 'held')"),
        sqlite_where=sa.text("state IN ('dead', 'held')"),
    ),
)

# waiting  to be claimed when `run_at` is over
# suspect  its lease expired twice: it may have killed its workers, so it is claimed to run alone
# running  claimed; `claim` is the fencing number, raised by every claim
# `share` is the source of a delivery: the sources that wait for a sink take turns there.
# A job disappears when it is settled. `tries` failed, `doubts` of them in a way that hardly passes; `waits` found the
# file not ready. `recalled`: while it runs, a copy of its event came, which may be the genuine one after a forged one.
job = sa.Table(
    "job",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("lane", sa.String(80), nullable=False),
    sa.Column("stage", sa.String(16), nullable=False),
    sa.Column("share", sa.String(64), nullable=False, server_default=""),
    sa.Column("ref", _Id, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("run_at", _Time, nullable=False),
    sa.Column("claim", sa.Integer, nullable=False, server_default="0"),
    sa.Column("lease_until", _Time),
    sa.Column("worker", sa.String(80), nullable=False, server_default=""),
    sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
    sa.Column("waits", sa.Integer, nullable=False, server_default="0"),
    sa.Column("doubts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("recalled", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("expiries", sa.Integer, nullable=False, server_default="0"),
    sa.Column("created", _Time, nullable=False),
    sa.UniqueConstraint("stage", "ref", name="uq_job_stage_ref"),
    _states("waiting", "suspect", "running"),
    sa.CheckConstraint("stage IN ('parse', 'fetch', 'deliver')", name="stage"),
    sa.CheckConstraint("(state = 'running') = (lease_until IS NOT NULL)", name="lease"),
    sa.Index(
        "ix_job_claim",
        "lane",
        "run_at",
        "id",
        postgresql_where=sa.text("state = 'waiting'"),
        sqlite_where=sa.text("state = 'waiting'"),
    ),
    sa.Index(
        "ix_job_share",
        "lane",
        "share",
        "run_at",
        "id",
        postgresql_where=sa.text("state = 'waiting' AND stage = 'deliver'"),
        sqlite_where=sa.text("state = 'waiting' AND stage = 'deliver'"),
    ),
    sa.Index(
        "ix_job_suspect",
        "lane",
        "run_at",
        "id",
        postgresql_where=sa.text("state = 'suspect'"),
        sqlite_where=sa.text("state = 'suspect'"),
    ),
    sa.Index(
        "ix_job_lease",
        "lease_until",
        postgresql_where=sa.text("state = 'running'"),
        sqlite_where=sa.text("state = 'running'"),
    ),
)

# One row per claim that ended, and one per decision of a person (`outcome` = 'replay').
# outcome: done, again, waiting, dead, held, refetch, late (the claim had been lost), expired, replay
attempt = sa.Table(
    "attempt",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("stage", sa.String(16), nullable=False),
    sa.Column("ref", _Id, nullable=False),
    sa.Column("claim", sa.Integer, nullable=False),
    sa.Column("worker", sa.String(80), nullable=False),
    sa.Column("started", _Time, nullable=False),
    sa.Column("ended", _Time, nullable=False, index=True),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("error", sa.String(64), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("next_at", _Time),
    sa.Column("receipt", sa.Text),
    sa.Index(None, "ref", "id"),
)

# Work that one process at a time may do ("sweep", "vault").
lease = sa.Table(
    "lease",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("owner", sa.String(80), nullable=False),
    sa.Column("until", _Time, nullable=False),
)

# Lanes in trouble: those whose last job failed for a reason that speaks of the provider or sink as a whole. A row goes
# as soon as it answers again. `failures` in a row, each by another job than the one before (`job` is the last of them);
# `reason` is what it said. `until` (0 while there were too few) ends a pause of `pause` seconds: nothing is claimed.
# Then one job is, as a `probe`, and until `probe_until` no other.
lane = sa.Table(
    "lane",
    metadata,
    sa.Column("name", sa.String(80), primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("job", _Id, nullable=False),
    sa.Column("since", _Time, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("until", _Time, nullable=False, server_default="0"),
    sa.Column("pause", _Time, nullable=False, server_default="0"),
    sa.Column("probe", _Id, nullable=False, server_default=""),
    sa.Column("probe_until", _Time, nullable=False, server_default="0"),
)

# Workers that run, with the lanes they serve (a JSON list). Each renews its row now and then; one whose `until` is over
# was killed.
worker = sa.Table(
    "worker",
    metadata,
    sa.Column("name", sa.String(80), primary_key=True),
    sa.Column("lanes", sa.Text, nullable=False),
    sa.Column("version", sa.String(32), nullable=False),
    sa.Column("started", _Time, nullable=False),
    sa.Column("until", _Time, nullable=False),
)

# How far a provider's list of completed signings was read. `mark` is the provider's time of the newest signing seen
# (at first: when the source was first looked at), `owner` and `until` the worker that reads now, `note` what went
# wrong at the last look or what the provider warned of ("" where all was well).
reconciliation = sa.Table(
    "reconciliation",
    metadata,
    sa.Column("source", sa.String(64), primary_key=True),
    sa.Column("mark", _Time, nullable=False),
    sa.Column("next_at", _Time, nullable=False),
    sa.Column("owner", sa.String(80), nullable=False, server_default=""),
    sa.Column("until", _Time, nullable=False, server_default="0"),
    sa.Column("looked", _Time),
    sa.Column("note", sa.Text, nullable=False, server_default=""),
)
