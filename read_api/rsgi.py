"""RSGI entry point, which Granian loads as `read_api.rsgi:app`."""

import asyncio
import time

from flask import Flask
from granian.rsgi import HTTPProtocol, Scope  # type: ignore[attr-defined] # its documented module

from models.change_feed import last_batch, number_changes
from read_api.app import RETRY_AFTER_SECONDS, create_app
from read_api.feed_waiters import FeedWaiters, WaitResult
from read_api.settings import ReadApiSettings
from read_api.views import DATABASE, WAIT
from runtime.http.wsgi import RawResponse, call, environ, exit_with_parent
from runtime.logs import configure


class ReadApiServer:
    """Serves the app. Each request runs in a thread; a client that waits for a change holds none.

    Args:
        app: the app.
        waiters: the waiting clients; None for the default limits.
    """

    def __init__(self, app: Flask, waiters: FeedWaiters | None = None) -> None:
        self._app = app
        self._waiters = waiters or FeedWaiters(self._poll)

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Prepare the process before the server listens."""
        exit_with_parent(loop)

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Serve one request."""
        status, headers, body = await self._respond(scope)
        if scope.method not in ("GET", "HEAD"):
            headers = [*headers, ("connection", "close")]  # its body was not read
        protocol.response_bytes(status, headers, body)

    async def _respond(self, scope: Scope) -> RawResponse:
        started, result = time.monotonic(), WaitResult.CHANGED
        while result is WaitResult.CHANGED:  # the token is checked again, too
            environment = environ(scope)
            response = await asyncio.to_thread(call, self._app.wsgi_app, environment)
            wait = environment.get(WAIT)
            if wait is None or time.monotonic() - started >= wait.seconds:
                return response
            seconds_left = wait.seconds - (time.monotonic() - started)
            result = await self._waiters.wait(wait.batch, seconds_left)  # what changed may be another account's
        if result is WaitResult.FULL:
            status, headers, body = response
            return status, [*headers, ("retry-after", RETRY_AFTER_SECONDS)], body
        return response

    def _poll(self) -> int:
        database = self._app.extensions[DATABASE]
        number_changes(database)
        with database.read_only() as session:
            return last_batch(session)


def __getattr__(name: str) -> ReadApiServer:
    """Open the app on first access, so that importing this module opens nothing."""
    if name != "app":
        raise AttributeError(name)
    configure()
    return ReadApiServer(create_app(ReadApiSettings.load()))
