"""FaultInjector: the trouble that is on now, what a test told certain calls to do, and what was asked so far."""

from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Lock

from devtools.sandbox.faults.plan import WRITES, FaultPlan


@dataclass(frozen=True)
class InjectedAnswer:
    """An answer that a test made up. The request is not acted upon."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Fault = str | InjectedAnswer
"""The name of an act of the front, or an answer."""


class FaultInjector:
    """Decides about requests.

    Attributes:
        faults: may be exchanged at any time.
        requests: `GET /v4/meeting-type/{id}` -> how often it was called.
    """

    def __init__(self, faults: FaultPlan) -> None:
        self.faults = faults
        self.requests: Counter[str] = Counter()
        self._queued: dict[str, deque[Fault | None]] = defaultdict(deque)
        self._occurrences: Counter[tuple[str, ...]] = Counter()
        self._lock = Lock()

    def enqueue(self, route: str, *faults: Fault | None) -> None:
        """The next calls of a route do this; None is a true answer."""
        with self._lock:
            self._queued[route].extend(faults)

    def request_fault(self, route: str, path: str, user_id: str, body: bytes) -> Fault | None:
        """Counts a request, and says what happens to it; None for a true answer."""
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
        """One of several ways to answer this call of a route."""
        return self.faults.choice(kind, options, route, str(self.requests[route]))

    @property
    def keys_are_expired(self) -> bool:
        """Whether `expire_key` requests have come."""
        return 0 < self.faults.expire_key <= self.requests.total()
