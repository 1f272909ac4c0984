"""Raw SQL of tests, for SQLite and PostgreSQL alike: it names our tables without their schema."""

import re

from sqlalchemy import Connection, TextClause, text
from sqlalchemy.orm import Session

from models.tables import Booking
from runtime.database import schema_of

OUR_TABLES = "|".join(table.name for table in Booking.metadata.sorted_tables)
NAMED = re.compile(rf"\b(FROM|INTO|UPDATE|TABLE|JOIN|ON|REFERENCES) (({OUR_TABLES})(_elsewhere)?)\b")


def sql(bind: Connection | Session, statement: str) -> TextClause:
    """Put the schema of `bind` before each of our tables."""
    schema = schema_of(bind)
    return text(NAMED.sub(rf"\1 {schema}.\2", statement) if schema else statement)
