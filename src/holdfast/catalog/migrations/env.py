"""What Alembic runs: within the transaction that the caller has begun, on its connection."""

from __future__ import annotations

from alembic import context

from holdfast.catalog.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    compare_type=True,
    render_as_batch=True,
)
context.run_migrations()
