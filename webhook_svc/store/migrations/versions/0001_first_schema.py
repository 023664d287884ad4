"""The first schema: events, signings, parts, deliveries, jobs, attempts, leases."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    _callbacks()
    _payloads()
    _signings()
    _parts()
    _deliveries()
    _work()
    _attempts()
    op.execute("INSERT INTO lease (name, owner, until) VALUES ('sweep', '', 0), ('vault', '', 0)")


def _callbacks() -> None:
    op.create_table(
        "event",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("key", sa.LargeBinary(length=32), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("type", sa.Text(), server_default="", nullable=False),
        sa.Column("sender_id", sa.Text(), server_default="", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("delivery_id", sa.Text(), server_default="", nullable=False),
        sa.Column("verified_by", sa.String(length=64), server_default="", nullable=False),
        sa.Column("hint", sa.Boolean(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("received", sa.Double(), nullable=False),
        sa.Column("copies", sa.Integer(), server_default="0", nullable=False),
        sa.Column("queued", sa.Double(), nullable=False),
        sa.CheckConstraint("state IN ('accepted', 'parsed', 'ignored', 'dead')", name=op.f("ck_event_state")),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
    )
    op.create_index(
        "ix_event_dead",
        "event",
        ["id"],
        unique=False,
        postgresql_where=sa.text("state = 'dead'"),
        sqlite_where=sa.text("state = 'dead'"),
    )
    op.create_index(op.f("ix_event_source_id"), "event", ["source", "id"], unique=False)


def _payloads() -> None:
    op.create_table(
        "payload",
        sa.Column("event_id", sa.String(length=40), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["event_id"],
            ["event.id"],
        ),
        sa.PrimaryKeyConstraint("event_id"),
    )
    op.create_index(op.f("ix_payload_received"), "payload", ["received"], unique=False)
    op.create_table(
        "refused",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_refused_source_id"), "refused", ["source", "id"], unique=False)


def _signings() -> None:
    op.create_table(
        "signing",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("key", sa.LargeBinary(length=32), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("wanted", sa.Integer(), nullable=False),
        sa.Column("fetched", sa.Integer(), server_default="0", nullable=False),
        sa.Column("change", sa.Integer(), server_default="0", nullable=False),
        sa.Column("version", sa.Integer(), server_default="0", nullable=False),
        sa.Column("supplements", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lacking", sa.Text(), server_default="[]", nullable=False),
        sa.Column("released", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("updated", sa.Double(), nullable=False),
        sa.CheckConstraint(
            "state IN ('fetching', 'complete', 'partial', 'dead', 'held')", name=op.f("ck_signing_state")
        ),
        sa.CheckConstraint("fetched <= wanted", name=op.f("ck_signing_fetched")),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
    )
    op.create_index(
        "ix_signing_dead",
        "signing",
        ["id"],
        unique=False,
        postgresql_where=sa.text("state IN ('dead', 'held')"),
        sqlite_where=sa.text("state IN ('dead', 'held')"),
    )
    op.create_index(op.f("ix_signing_source_id"), "signing", ["source", "id"], unique=False)


def _parts() -> None:
    op.create_table(
        "signing_event",
        sa.Column("signing_id", sa.String(length=40), nullable=False),
        sa.Column("event_id", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(
            ["event_id"],
            ["event.id"],
        ),
        sa.ForeignKeyConstraint(
            ["signing_id"],
            ["signing.id"],
        ),
        sa.PrimaryKeyConstraint("signing_id", "event_id"),
    )
    op.create_index(op.f("ix_signing_event_event_id"), "signing_event", ["event_id"], unique=False)
    op.create_table(
        "part",
        sa.Column("signing_id", sa.String(length=40), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("supplement", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["signing_id"],
            ["signing.id"],
        ),
        sa.PrimaryKeyConstraint("signing_id", "version", "position"),
    )
    op.create_index(op.f("ix_part_sha256"), "part", ["sha256"], unique=False)


def _deliveries() -> None:
    op.create_table(
        "delivery",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("key", sa.LargeBinary(length=32), nullable=False),
        sa.Column("signing_id", sa.String(length=40), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("sink", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("supplement", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("bundle", sa.Text(), nullable=False),
        sa.Column("progress", sa.Text(), server_default="{}", nullable=False),
        sa.Column("receipt", sa.Text(), nullable=True),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("done", sa.Double(), nullable=True),
        sa.CheckConstraint("(state = 'delivered') = (receipt IS NOT NULL)", name=op.f("ck_delivery_receipt")),
        sa.CheckConstraint("state IN ('waiting', 'delivered', 'dead', 'held')", name=op.f("ck_delivery_state")),
        sa.ForeignKeyConstraint(
            ["signing_id"],
            ["signing.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
    )
    op.create_index(
        "ix_delivery_dead",
        "delivery",
        ["id"],
        unique=False,
        postgresql_where=sa.text("state IN ('dead', 'held')"),
        sqlite_where=sa.text("state IN ('dead', 'held')"),
    )
    op.create_index(op.f("ix_delivery_signing_id"), "delivery", ["signing_id"], unique=False)
    op.create_index(op.f("ix_delivery_sink_id"), "delivery", ["sink", "id"], unique=False)


def _work() -> None:
    op.create_table(
        "job",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("lane", sa.String(length=80), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("ref", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("run_at", sa.Double(), nullable=False),
        sa.Column("claim", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("worker", sa.String(length=80), server_default="", nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("waits", sa.Integer(), server_default="0", nullable=False),
        sa.Column("expiries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.CheckConstraint("(state = 'running') = (lease_until IS NOT NULL)", name=op.f("ck_job_lease")),
        sa.CheckConstraint("stage IN ('parse', 'fetch', 'deliver')", name=op.f("ck_job_stage")),
        sa.CheckConstraint("state IN ('waiting', 'suspect', 'running')", name=op.f("ck_job_state")),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("stage", "ref", name="uq_job_stage_ref"),
    )
    op.create_index(
        "ix_job_claim",
        "job",
        ["lane", "run_at", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'waiting'"),
        sqlite_where=sa.text("state = 'waiting'"),
    )
    op.create_index(
        "ix_job_lease",
        "job",
        ["lease_until"],
        unique=False,
        postgresql_where=sa.text("state = 'running'"),
        sqlite_where=sa.text("state = 'running'"),
    )
    op.create_index(
        "ix_job_suspect",
        "job",
        ["lane", "run_at", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'suspect'"),
        sqlite_where=sa.text("state = 'suspect'"),
    )


def _attempts() -> None:
    op.create_table(
        "attempt",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("ref", sa.String(length=40), nullable=False),
        sa.Column("claim", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(length=80), nullable=False),
        sa.Column("started", sa.Double(), nullable=False),
        sa.Column("ended", sa.Double(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("error", sa.String(length=64), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("next_at", sa.Double(), nullable=True),
        sa.Column("receipt", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_attempt_ended"), "attempt", ["ended"], unique=False)
    op.create_index(op.f("ix_attempt_ref_id"), "attempt", ["ref", "id"], unique=False)
    op.create_table(
        "lease",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("owner", sa.String(length=80), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
