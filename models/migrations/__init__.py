"""Alembic's migrations, and what comes before the first of them."""
