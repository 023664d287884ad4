"""What the providers' lists tell and how far they were read, the bytes of documents with rounds, doubts of jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("event", sa.Column("origin", sa.String(length=16), server_default="callback", nullable=False))
    op.add_column("job", sa.Column("doubts", sa.Integer(), server_default="0", nullable=False))
    op.add_column("job", sa.Column("recalled", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_table(
        "reconciliation",
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("mark", sa.Double(), nullable=False),
        sa.Column("next_at", sa.Double(), nullable=False),
        sa.Column("owner", sa.String(length=80), server_default="", nullable=False),
        sa.Column("until", sa.Double(), server_default="0", nullable=False),
        sa.Column("looked", sa.Double(), nullable=True),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("source"),
    )
    op.create_table(
        "content",
        sa.Column("key", sa.LargeBinary(length=32), nullable=False),
        sa.Column("signing_id", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["signing_id"], ["signing.id"]),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index(op.f("ix_content_signing_id"), "content", ["signing_id"], unique=False)
