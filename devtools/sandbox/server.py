"""The sandbox server: starts on a port, exposes its state, and accepts faults."""

import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from devtools.sandbox.app import create_app
from devtools.sandbox.faults.injector import Fault, FaultInjector
from devtools.sandbox.faults.middleware import FaultMiddleware
from devtools.sandbox.faults.plan import FaultPlan
from devtools.sandbox.http.auth import Credentials
from devtools.sandbox.http.rate_limit import RateLimit, TokenBuckets
from devtools.sandbox.outgoing.delivery import OutgoingDelivery
from devtools.sandbox.outgoing.dispatcher import TIMEOUT, Dispatcher
from devtools.sandbox.resources import users
from devtools.sandbox.state.actions import Actions
from devtools.sandbox.state.company import Company, Plan, Record
from devtools.sandbox.timestamps import Clock, utc_now
from devtools.sandbox.ui.routes import PageContext
from devtools.sandbox.ui.view import PlatformBookings

HOST = "127.0.0.1"
POLL_SECONDS = 0.005
DRAIN_TIMEOUT = timedelta(seconds=60)


class _SilentRequestHandler(WSGIRequestHandler):
    """Logs nothing: a webhook's path may be a secret."""

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - the name that it overrides
        """Log nothing."""


def _create_server(host: str, port: int, app: FaultMiddleware) -> BaseWSGIServer:
    """Create a server on an already bound socket: werkzeug would exit the process if the port is in use."""
    with socket.create_server((host, port)) as listener:
        port = listener.getsockname()[1]
        return make_server(host, port, app, threaded=True, request_handler=_SilentRequestHandler, fd=listener.fileno())


@dataclass(frozen=True)
class CompanyAccount:
    """A company, and what acts on it.

    Attributes:
        company: its state.
        actions: performs actions of its hosts and guests on meetergo's own pages.
        key: a platform API key.
        token: a personal access token of its owner.
    """

    company: Company
    actions: Actions
    key: str = field(repr=False)
    token: str = field(repr=False)


class Sandbox:
    """A stand-in for meetergo's API and webhooks, with one company or several, which the credential chooses.

    The collections are the live state: read them when nothing is in transit; change them to simulate lost data.

    Args:
        faults: the fault plan.
        now: clock for everything but the pauses of faults.
        rate_limit: limit per key; None for none.
        plan: the company's plan.
        retries: how often a webhook without a 2xx is sent again.
        timeout: time limit for the response to a webhook.
        state: file in which the company is stored; None to keep it in memory.
        fresh: whether to ignore what that file holds.
        companies: number of companies.
        platform_bookings: returns the platform's bookings for the page: rows with `id`, `status`, `starts_at`,
            `attendees` and `revision`.
        host, port: address to listen on; port 0 for a free one.

    Raises:
        OSError: it cannot listen on that address.
        UnusableState: the file cannot be loaded.

    Attributes:
        url: its root URL.
        accounts: all companies; what has no company in its name is the first's.
        key: a platform API key.
        token: a personal access token of the company's owner.
        state: file in which the company is stored; further ones are stored beside it.
        actions: performs actions of hosts and guests on meetergo's own pages.
    """

    def __init__(
        self,
        faults: FaultPlan,
        *,
        now: Clock = utc_now,
        rate_limit: RateLimit | None = None,
        plan: Plan | None = None,
        retries: int = 0,
        timeout: timedelta = TIMEOUT,
        state: Path | None = None,
        fresh: bool = False,
        companies: int = 1,
        platform_bookings: PlatformBookings | None = None,
        host: str = HOST,
        port: int = 0,
    ) -> None:
        self._fault_injector = FaultInjector(faults)
        self._dispatcher = Dispatcher(self._fault_injector, now, timeout, retries)
        self.state = state
        self._credentials = Credentials()
        created = [
            Company(faults.seed, now, plan or Plan(), self._dispatcher.emit, number + 1) for number in range(companies)
        ]
        self.accounts = [self._open(company, None if fresh else state) for company in created]
        self.company, self.actions = self.accounts[0].company, self.accounts[0].actions
        self.key, self.token = self.accounts[0].key, self.accounts[0].token
        for company in created:
            company.lock = self.company.lock
        self._stop = Event()
        buckets = TokenBuckets(rate_limit) if rate_limit else None
        page_contexts = [
            PageContext(each.company, each.actions, self.deliveries, platform_bookings, each.key)
            for each in self.accounts
        ]
        app = create_app(page_contexts, self._credentials, self._fault_injector, buckets)
        middleware = FaultMiddleware(app, self.company, self._fault_injector, self._stop, self.save)
        self._server = _create_server(host, port, middleware)
        self.url = f"http://{host}:{self._server.port}"

    def _open(self, company: Company, state: Path | None) -> CompanyAccount:
        if not (state and company.load(state)):
            users.create_admin(company)
        key, token = self._credentials.new_key(company), self._credentials.new_token(company, company.admin_id)
        return CompanyAccount(company, Actions(company), key, token)

    def save(self) -> None:
        """Write the companies to their state files, if there are any."""
        if self.state:
            with self.company.lock:
                for each in self.accounts:
                    each.company.save(self.state)

    def serve(self, poll_seconds: float = 0.5) -> None:
        """Handle requests until another thread calls `stop`, which is checked at this interval."""
        self._server.serve_forever(poll_seconds)

    def stop(self) -> None:
        """End `serve`, from another thread."""
        self._server.shutdown()

    def close(self) -> None:
        """Release all resources. Unsent webhooks are dropped: see `drain`."""
        self._stop.set()
        self._dispatcher.close()

    @property
    def users(self) -> dict[str, Record]:
        """Id -> user."""
        return self.company.users

    @property
    def meeting_types(self) -> dict[str, Record]:
        """Id -> meeting type."""
        return self.company.meeting_types

    @property
    def appointments(self) -> dict[str, Record]:
        """Id -> appointment. Delete one to simulate that it never existed."""
        return self.company.appointments

    @property
    def webhooks(self) -> list[Record]:
        """The webhook registrations."""
        return list(self.company.webhooks.values())

    @property
    def deliveries(self) -> list[OutgoingDelivery]:
        """Every webhook that was due, whatever its result."""
        return self._dispatcher.deliveries

    @property
    def requests(self) -> Counter[str]:
        """`GET /v4/meeting-type/{id}` -> number of calls."""
        return self._fault_injector.requests

    @property
    def faults(self) -> FaultPlan:
        """The active fault plan. Replaceable at any time; ids keep using the first plan's seed."""
        return self._fault_injector.faults

    @faults.setter
    def faults(self, faults: FaultPlan) -> None:
        self._fault_injector.faults = faults

    def inject_faults(self, route: str, *faults: Fault | None) -> None:
        """Inject faults into the next calls of a route.

        Args:
            route: as in `requests`.
            faults: one per call: an `InjectedAnswer`; the name of a fault (`fail`, `time_out`, `drop_connection`,
                `rate_limit`, `commit_then_fail` or `commit_then_drop`); or None for the real response.
        """
        self._fault_injector.enqueue(route, *faults)

    def drain(self, limit: timedelta = DRAIN_TIMEOUT) -> None:
        """Wait until all due webhooks were sent, including those held back by faults.

        Raises:
            DrainTimeout: not within the limit.
        """
        self._dispatcher.drain(limit)

    def new_key(self, company: Company | None = None) -> str:
        """Issue another platform API key of a company."""
        return self._credentials.new_key(company or self.company)

    def new_token(self, user_id: str, *capabilities: str) -> str:
        """Issue a personal access token for a user, optionally restricted to capabilities (`scheduling`, `account`)."""
        return self._credentials.new_token(self.company, user_id, frozenset(capabilities) or None)

    def expire(self, credential: str) -> None:
        """Expire a key or a token."""
        self._credentials.expire(credential)


@contextmanager
def sandbox(faults: FaultPlan | None = None, **options: Any) -> Iterator[Sandbox]:
    """Run a sandbox in this process until the block ends; by default without a rate limit.

    Args:
        faults: faults to inject; None for none.
        options: of `Sandbox`.
    """
    meetergo = Sandbox(faults or FaultPlan(), **options)
    thread = Thread(target=meetergo.serve, args=(POLL_SECONDS,), name="sandbox", daemon=True)
    thread.start()
    try:
        yield meetergo
    finally:
        meetergo.stop()
        thread.join()
        meetergo.close()
