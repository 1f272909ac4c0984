"""The only jobs that a worker runs: others may write to Redis, and what it holds must not choose our code."""

import zlib
from collections.abc import Callable, Sequence
from typing import Any

from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from runtime.errors import Failure

EMPTY, TEND, CARRY = "worker.jobs.empty", "worker.jobs.tend", "worker.jobs.carry"
ARGUMENTS: dict[str, range] = {EMPTY: range(1, 2), TEND: range(2, 3), CARRY: range(5, 7)}
"""Our functions, and how many words each is given."""

BOXES = ("inbox", "outbox")
FIELDS = (
    *(b"data", b"status", b"origin", b"description", b"timeout", b"worker_name", b"retries_left"),
    *(b"number_of_retries", b"created_at", b"enqueued_at", b"started_at", b"ended_at", b"last_heartbeat"),
)
"""What is read of a job. Callbacks, webhooks, dependencies, results and rate limits are not: we use none."""
MOST_BYTES = 64 * 1024 * 1024
"""Of a job, unpacked. A body of WEBHOOK_MAX_BODY in base64 is the longest that we write."""
LONGEST_SECONDS = 120
NOBODYS = "refused"
REFUSAL = "this job is none of meetergo-inbox's, so it was not run: somebody else writes to this Redis"


class RefusedJob(Failure):
    """A job that is none of ours."""


class OwnJob(Job):
    """An RQ job that runs one of our functions, with words from JSON, and calls nobody when it ends.

    RQ imports and calls any name that a job gives, as its function or as a callback, posts to any URL among its
    webhooks, and unpickles it unless told otherwise.
    """

    def __init__(self, id: str | None = None, connection: Any = None, serializer: Any = None) -> None:  # noqa: A002 - RQ's
        super().__init__(id, connection, JSONSerializer)

    def restore(self, raw_data: Any) -> Any:
        """Read what Redis holds of it. A job that cannot be read will be refused; it ends no worker."""
        known = {name: value for name, value in raw_data.items() if name in FIELDS}
        content = _unpacked(known.get(b"data", b""))
        try:
            super().restore({**known, b"data": content})
        except Exception:
            self.data, self._status = b"", JobStatus.QUEUED
        if not self.is_ours:
            self._func_name, self._instance, self._args, self._kwargs = NOBODYS, None, (), {}
        self.description = self.description if self.is_ours else NOBODYS
        if not 0 < (self.timeout or 0) <= LONGEST_SECONDS:
            self.timeout = LONGEST_SECONDS
        self.result_ttl = 0
        return None

    @property
    def is_ours(self) -> bool:
        """Whether it names one of our functions, and gives it as many words as it takes."""
        try:
            name, args = self.func_name, self.args
            return self.instance is None and self.kwargs == {} and _fits(name, args)
        except Exception:
            return False

    @property
    def func(self) -> Callable[..., Any]:
        """The function to call, imported only if it is one of ours.

        Raises:
            RefusedJob: it is not.
        """
        if not self.is_ours:
            raise RefusedJob(REFUSAL)
        function: Callable[..., Any] = super().func
        return function


def _fits(name: str | None, args: Sequence[Any]) -> bool:
    if name is None or len(args) not in ARGUMENTS[name] or not all(isinstance(word, str) for word in args):
        return False
    return name == CARRY or args[0] in BOXES


def _unpacked(data: bytes) -> bytes:
    """RQ unpacks all that there is; a few kilobytes can hold gigabytes."""
    unpacking = zlib.decompressobj()
    try:
        content = unpacking.decompress(data, MOST_BYTES)
    except zlib.error:
        content = data
    return b"" if unpacking.unconsumed_tail or len(content) > MOST_BYTES else content
