"""FaultInjector: the active fault plan, faults queued by tests, and counts of requests."""

from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Lock

from devtools.sandbox.faults.plan import WRITES, FaultPlan


@dataclass(frozen=True)
class InjectedAnswer:
    """A response that a test injects. The request has no effect."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Fault = str | InjectedAnswer
"""The name of a fault of FaultMiddleware, or a response."""


class FaultInjector:
    """Decides which requests fail.

    Attributes:
        faults: the fault plan; replaceable at any time.
        requests: `GET /v4/meeting-type/{id}` -> number of calls.
    """

    def __init__(self, faults: FaultPlan) -> None:
        self.faults = faults
        self.requests: Counter[str] = Counter()
        self._queued: dict[str, deque[Fault | None]] = defaultdict(deque)
        self._occurrences: Counter[tuple[str, ...]] = Counter()
        self._lock = Lock()

    def enqueue(self, route: str, *faults: Fault | None) -> None:
        """Queue faults for the next calls of a route; None is a real response."""
        with self._lock:
            self._queued[route].extend(faults)

    def request_fault(self, route: str, path: str, user_id: str, body: bytes) -> Fault | None:
        """Count a request and return its fault; None for a real response."""
        method = route.partition(" ")[0]
        digest = sha256(body).hexdigest() if method in WRITES else ""
        with self._lock:
            self.requests[route] += 1
            if self._queued[route]:
                return self._queued[route].popleft()
            key = (method, path, user_id, digest)
            self._occurrences[key] += 1
            count = self._occurrences[key]
        return self.faults.request_fault(*key, str(count))

    def choice(self, kind: str, options: tuple[str, ...], route: str) -> str:
        """Choose one of several ways to answer this call of a route."""
        return self.faults.choice(kind, options, route, str(self.requests[route]))

    @property
    def keys_are_expired(self) -> bool:
        """Whether `expire_key` requests have arrived."""
        return 0 < self.faults.expire_key <= self.requests.total()
