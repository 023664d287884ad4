"""Lanes in trouble, which workers run, the deliveries of a source, and whose turn it is at a sink."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "lane",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("job", sa.String(length=40), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("until", sa.Double(), server_default="0", nullable=False),
        sa.Column("pause", sa.Double(), server_default="0", nullable=False),
        sa.Column("probe", sa.String(length=40), server_default="", nullable=False),
        sa.Column("probe_until", sa.Double(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "worker",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("lanes", sa.Text(), nullable=False),
        sa.Column("version", sa.String(length=32), nullable=False),
        sa.Column("started", sa.Double(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_index(op.f("ix_delivery_source_id"), "delivery", ["source", "id"], unique=False)
    # Last, for every callback needs this table: the lock on it is held until the end.
    op.add_column("job", sa.Column("share", sa.String(length=64), server_default="", nullable=False))
    op.create_index(
        "ix_job_share",
        "job",
        ["lane", "share", "run_at", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'waiting' AND stage = 'deliver'"),
        sqlite_where=sa.text("state = 'waiting' AND stage = 'deliver'"),
    )
