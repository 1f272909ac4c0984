"""Errors of operations, and what a store's or the API's error means, as sentences for an operator."""

import sqlite3

from psycopg.errors import DiskFull, InsufficientPrivilege, ReadOnlySqlTransaction
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from meetergo.api.errors import ApiError, Unauthorised
from models.stats import is_schema_outdated
from operations.text import printable
from runtime.redis.client import NotWritable

MIGRATE_COMMAND = "bin/inbox migrate"
PASSWORD_REQUIRED = ("NOAUTH", "Authentication required", "must be called with the client already authenticated")
TABLES_MISSING = f"the database does not have the tables of this version: {MIGRATE_COMMAND}"

StoreError = (DBAPIError, NoConnectionFree, RedisError)
"""What a store's trouble raises; any other error of SQLAlchemy is a fault of ours."""


class OperationError(Exception):
    """What an operator asked for cannot be done. The message is a sentence that says why, and what to do."""


def api_error_message(error: ApiError) -> str:
    """One sentence, which names the setting where one is to blame."""
    return f"MEETERGO_API_KEY: {error}" if isinstance(error, Unauthorised) else str(error)


def store_error_message(error: Exception) -> str:
    """What is wrong, with the driver's own first line: it names the server or the file, not what is in it."""
    if isinstance(error, RedisError):
        return _redis_error_message(error)
    if is_schema_outdated(error):
        return TABLES_MISSING
    cause, message = getattr(error, "orig", None), first_line(error)
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if isinstance(cause, ReadOnlySqlTransaction) or code == sqlite3.SQLITE_READONLY:
        return f"the database can be read, and not written: {message}"
    if isinstance(cause, DiskFull) or code == sqlite3.SQLITE_FULL:
        return f"the disk of the database is full: {message}"
    if isinstance(cause, InsufficientPrivilege):
        return f"the database lets the user of DATABASE_URL not do that: {message}"
    if isinstance(error, OperationalError | InterfaceError | NoConnectionFree):
        return f"the database does not answer: {first_line(error)}"
    return f"the database refuses: {first_line(error)}"


def _redis_error_message(error: RedisError) -> str:
    message = first_line(error)
    if any(marker in message for marker in PASSWORD_REQUIRED):
        return "Redis wants a password: put it into REDIS_URL (redis://:password@host:6379/0)"
    if isinstance(error, AuthenticationError):
        return f"Redis refuses the user or the password in REDIS_URL: {message}"
    if isinstance(error, NoPermissionError):
        return f"Redis lets the user in REDIS_URL not do that: {message}"
    if "WRONGTYPE" in message:
        return f"Redis holds something else under a name of ours (see REDIS_PREFIX): {message}"
    if isinstance(error, NotWritable):
        return f"Redis cannot be written: {message}"
    if isinstance(error, ResponseError):
        return f"Redis refuses: {message}"
    return f"Redis does not answer: {message}"


def first_line(error: Exception) -> str:
    """What the driver said first."""
    return printable(str(getattr(error, "orig", error)).strip().partition("\n")[0])
