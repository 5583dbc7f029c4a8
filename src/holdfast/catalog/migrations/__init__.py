"""Migrations of the tables (Alembic), each a module of `versions`; run by `holdfast.catalog.opening` when one opens."""
