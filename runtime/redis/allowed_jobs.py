"""The jobs that a worker may run: other programs may write to Redis, and its content must not choose our code."""

import re
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from rq.executions import Execution, ExecutionRegistry
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from runtime.errors import Failure

DRAIN, RETRY_ONE, STORE_DEFERRED = "worker.jobs.drain", "worker.jobs.retry_one", "worker.jobs.store_deferred"
OLD_NAMES = {"worker.jobs.empty": DRAIN, "worker.jobs.tend": RETRY_ONE, "worker.jobs.carry": STORE_DEFERRED}
"""Names of the previous version: its jobs may still be in Redis after an upgrade."""
ARGUMENTS: dict[str, range] = {DRAIN: range(1, 2), RETRY_ONE: range(2, 3), STORE_DEFERRED: range(5, 7)}
"""Function -> how many arguments it may have."""

ROW_IDS = {"inbox": "[0-9a-f]{64}", "outbox": "[0-9]{1,18}"}
"""Queue -> pattern of its rows' ids."""
FIELDS = (
    *(b"data", b"status", b"origin", b"description", b"timeout", b"worker_name", b"retries_left"),
    *(b"number_of_retries", b"created_at", b"enqueued_at", b"started_at", b"ended_at", b"last_heartbeat"),
)
"""Fields of a job that are read. Callbacks, webhooks, dependencies, results and rate limits are not: we use none."""
MAX_BYTES = 64 * 1024 * 1024
"""Maximum size of a job's data, decompressed. The longest that we write is a body of WEBHOOK_MAX_BODY in base64."""
MAX_TIMEOUT_SECONDS = 120
REJECTED = "refused"
REJECTION = "this job is not one of meetergo-inbox's, so it was not run: another program writes to this Redis"


class RejectedJob(Failure):
    """The job is not one of ours."""


class KnownExecutions(ExecutionRegistry):
    """The executions of a job, without those that have expired: RQ removes what names them a minute later.

    That of a killed worker has when its job runs again. RQ would then fail to delete the job, and run it over and over.
    """

    def get_executions(self, start: int = 0, end: int = -1) -> list[Execution]:
        """Return those that Redis still has."""
        executions = list[Execution]()
        for execution_id in self.get_execution_ids(start, end):
            with suppress(ValueError):  # it has expired
                executions.append(Execution.fetch(execution_id, self.job_id, self.connection))
        return executions


class OwnJob(Job):
    """An RQ job that runs only our own functions, with strings from JSON, and has no callbacks.

    RQ imports and calls any name that a job gives, as its function or as a callback, posts to any URL among its
    webhooks, and unpickles it by default.
    """

    def __init__(self, id: str | None = None, connection: Any = None, serializer: Any = None) -> None:  # noqa: A002 - RQ's
        super().__init__(id, connection, JSONSerializer)

    def restore(self, raw_data: Any) -> Any:
        """Read the job from Redis. A job that cannot be read is rejected later and does not crash the worker."""
        known = {name: value for name, value in raw_data.items() if name in FIELDS}
        content = _decompressed(known.get(b"data", b""))
        try:
            super().restore({**known, b"data": content})
        except Exception:
            self.data, self._status = b"", JobStatus.QUEUED
        if not self.is_allowed:
            self._func_name, self._instance, self._args, self._kwargs = REJECTED, None, (), {}
        self.description = self.description if self.is_allowed else REJECTED
        if not 0 < (self.timeout or 0) <= MAX_TIMEOUT_SECONDS:
            self.timeout = MAX_TIMEOUT_SECONDS
        self.result_ttl = 0
        return None

    @property
    def execution_registry(self) -> ExecutionRegistry:
        """Its executions, as far as Redis still has them."""
        return KnownExecutions(self.id, connection=self.connection)

    @property
    def is_allowed(self) -> bool:
        """Whether it names one of our functions, with arguments that we could have given it."""
        try:
            name, args = self.func_name, self.args
            return self.instance is None and self.kwargs == {} and _fits(name, args)
        except Exception:
            return False

    @property
    def func(self) -> Callable[..., Any]:
        """The function to call, imported only if it is one of ours.

        Raises:
            RejectedJob: the job is not allowed.
        """
        if not self.is_allowed:
            raise RejectedJob(REJECTION)
        function: Callable[..., Any] = super().func
        return function


def current_name(name: str | None) -> str | None:
    """Return the current name of a job function, translating names of the previous version."""
    return OLD_NAMES.get(name, name) if name else name


def _fits(name: str | None, args: Sequence[Any]) -> bool:
    name = current_name(name) or ""
    if len(args) not in ARGUMENTS.get(name, ()) or not all(isinstance(value, str) for value in args):
        return False
    if name == RETRY_ONE:
        return args[0] in ROW_IDS and re.fullmatch(ROW_IDS[args[0]], args[1]) is not None
    return name == STORE_DEFERRED or args[0] in ROW_IDS


def _decompressed(data: bytes) -> bytes:
    """Decompress up to a limit. RQ has none, and a few kilobytes can hold gigabytes."""
    decompressor = zlib.decompressobj()
    try:
        content = decompressor.decompress(data, MAX_BYTES)
    except zlib.error:
        content = data
    return b"" if decompressor.unconsumed_tail or len(content) > MAX_BYTES else content
