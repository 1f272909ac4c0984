"""Adapt PostgreSQL's driver: load any time, and wait no longer than the client wants.

Imported only where the database is PostgreSQL.
"""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Loader
from psycopg.errors import _WaitTimeout
from psycopg.pq import TransactionStatus
from psycopg.types.datetime import TimestamptzLoader

WAIT_INTERVAL_SECONDS = 0.1
CANCEL_TIMEOUT_SECONDS = 0.2
CANCELLED_WITHIN_SECONDS = 5


def tolerant_timestamps(earliest: datetime, latest: datetime) -> type[Loader]:
    """Return a loader for times that Python cannot hold, such as `infinity`: as the nearest of these two.

    One such row must not fail a whole query.
    """

    class TolerantTimestamp(Loader):
        def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
            super().__init__(oid, context)
            self._exact = TimestamptzLoader(oid, context)

        def load(self, data: Buffer) -> datetime:
            try:
                return self._exact.load(data)
            except psycopg.DataError:
                text = bytes(data)
                return earliest if text.startswith(b"-") or text.endswith(b"BC") else latest

    return TolerantTimestamp


class InterruptibleConnection(psycopg.Connection[Any]):
    """A connection that cancels its query if a signal's exception ends the wait, as at the timeout of a worker's job.

    psycopg does that for Ctrl-C alone. Else the server would go on with it, and hold its locks.
    """

    def wait(self, gen: Any, interval: float = WAIT_INTERVAL_SECONDS, timeout: float | None = None) -> Any:
        """Wait for the server."""
        try:
            return super().wait(gen, interval, timeout)
        except psycopg.Error:
            raise
        except Exception:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self._cancel(gen)
            raise

    def _cancel(self, gen: Any) -> None:
        try:
            self.cancel_safe(timeout=CANCEL_TIMEOUT_SECONDS)
            super().wait(gen, WAIT_INTERVAL_SECONDS, CANCELLED_WITHIN_SECONDS)
        except psycopg.errors.QueryCanceled:
            pass
        except Exception:  # in an unknown state
            self.close()


def connection_class(client_timeout: timedelta | None) -> type[psycopg.Connection[Any]]:
    """Return a connection class with a client-side timeout: a server that hangs cannot enforce its own timeouts."""
    if client_timeout is None:
        return InterruptibleConnection
    seconds = client_timeout.total_seconds()

    class ClientTimeoutConnection(psycopg.Connection[Any]):
        def wait(self, gen: Any, interval: float = WAIT_INTERVAL_SECONDS, timeout: float | None = None) -> Any:
            try:
                return super().wait(gen, interval, timeout or seconds)
            except _WaitTimeout:
                with suppress(psycopg.Error):  # else a commit that waits for a standby would keep its place for ever
                    self.cancel_safe(timeout=CANCEL_TIMEOUT_SECONDS)
                self.close()  # mid-response, so the connection cannot be reused
                raise psycopg.OperationalError("the server did not answer in time") from None

    return ClientTimeoutConnection
