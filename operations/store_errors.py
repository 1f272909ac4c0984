"""Errors of the stores, and messages for operators about them. Imports the drivers of both."""

import sqlite3

from redis.exceptions import (
    AuthenticationError,
    ClusterCrossSlotError,
    MovedError,
    NoPermissionError,
    RedisError,
    ResponseError,
)
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.orm.exc import StaleDataError

from operations.errors import MIGRATE_COMMAND, first_line
from runtime.database import INSUFFICIENT_PRIVILEGE_SQLSTATE, RowsDiscarded, is_schema_outdated
from runtime.redis.client import NotWritable

PASSWORD_REQUIRED = ("NOAUTH", "Authentication required", "must be called with the client already authenticated")
READ_ONLY_SQLSTATE, DISK_FULL_SQLSTATE = "25006", "53100"
TABLES_MISSING = f"the database does not have the tables of this version: {MIGRATE_COMMAND}"

StoreError = (DBAPIError, NoConnectionFree, RedisError, RowsDiscarded, StaleDataError)
"""Exceptions of a failing store; any other SQLAlchemy error is a bug."""


def store_error_message(error: Exception) -> str:
    """Describe a store's error with the first line from the driver, which names the server or file but no content."""
    if isinstance(error, RedisError):
        return _redis_error_message(error)
    if is_schema_outdated(error):
        return TABLES_MISSING
    if isinstance(error, RowsDiscarded):
        return str(error)
    if isinstance(error, StaleDataError):
        return f"a row did not change, because a trigger discards that, or was deleted meanwhile: {first_line(error)}"
    cause, message = getattr(error, "orig", None), first_line(error)
    code, sqlstate = getattr(cause, "sqlite_errorcode", 0) & 0xFF, getattr(cause, "sqlstate", None)
    if sqlstate == READ_ONLY_SQLSTATE or code == sqlite3.SQLITE_READONLY:
        return f"the database can be read, but not written: {message}"
    if sqlstate == DISK_FULL_SQLSTATE or code == sqlite3.SQLITE_FULL:
        return f"the disk of the database is full: {message}"
    if sqlstate == INSUFFICIENT_PRIVILEGE_SQLSTATE:
        return f"the user in DATABASE_URL lacks a privilege: {message}"
    if isinstance(error, OperationalError | InterfaceError | NoConnectionFree):
        return f"the database does not answer: {first_line(error)}"
    return f"the database reports an error: {first_line(error)}"


def _redis_error_message(error: RedisError) -> str:
    message = first_line(error)
    if any(marker in message for marker in PASSWORD_REQUIRED):
        return "Redis requires a password: put it into REDIS_URL (redis://:password@host:6379/0)"
    if isinstance(error, AuthenticationError):
        return f"Redis rejects the user or the password in REDIS_URL: {message}"
    if isinstance(error, NoPermissionError):
        return f"the Redis user in REDIS_URL lacks a permission: {message}"
    if isinstance(error, ClusterCrossSlotError | MovedError):
        return f"REDIS_URL names a Redis Cluster, which cannot be used: {message}"
    if "WRONGTYPE" in message:
        return f"a Redis key of ours holds another type (see REDIS_PREFIX): {message}"
    if isinstance(error, NotWritable):
        return f"Redis cannot be written: {message}"
    if isinstance(error, ResponseError):
        return f"Redis refuses: {message}"
    return f"Redis does not answer: {message}"
