"""Sentences: what a store's error means for who sits at the desk."""

from redis.exceptions import AuthenticationError, RedisError, ResponseError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from console.wording import printable
from models.survey import lacks_tables

MIGRATE = "python -m console migrate"
NO_TABLES = f"the database does not have the tables of this version: {MIGRATE}"

StoreError = (DBAPIError, NoConnectionFree, RedisError)
"""What a store's trouble raises; any other error of SQLAlchemy is a fault of ours."""


def sentence(error: Exception) -> str:
    """What is wrong, with the driver's own first line: it names the server or the file, not what is in it."""
    if isinstance(error, ResponseError | AuthenticationError):
        return f"Redis refuses: {first_line(error)}"
    if isinstance(error, RedisError):
        return f"Redis does not answer: {first_line(error)}"
    if lacks_tables(error):
        return NO_TABLES
    if isinstance(error, OperationalError | InterfaceError | NoConnectionFree):
        return f"the database does not answer: {first_line(error)}"
    return f"the database refuses: {first_line(error)}"


def first_line(error: Exception) -> str:
    """What the driver said first."""
    return printable(str(getattr(error, "orig", error)).strip().partition("\n")[0])
