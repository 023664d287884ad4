"""Alembic's entry: runs on the connection that `store.migrate` opened, inside its transaction and lock."""

from alembic import context

from webhook_svc.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    compare_type=True,
)
context.run_migrations()
