"""HTTP client that delivers bodies to a receiver as meetergo does."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import urllib3

from runtime.signatures import Verifier

TIMEOUT_SECONDS = 30
"""meetergo's own timeout, in seconds."""


@dataclass(frozen=True)
class SendResponse:
    """The receiver's response and its latency in milliseconds."""

    status: int
    body: dict[str, Any]
    milliseconds: float


@dataclass(frozen=True)
class Sender:
    """Posts to one address.

    Attributes:
        url: the whole address.
        signer: signs each body; None to send no signature.
    """

    url: str
    signer: Verifier | None = None

    @property
    def server(self) -> str:
        """The address without its path, which is a secret."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    def send(self, body: bytes) -> SendResponse:
        """Deliver a body.

        Raises:
            urllib3.exceptions.HTTPError: no server responds.
        """
        with self.open_connections(1) as deliver:
            return deliver(body)

    @contextmanager
    def open_connections(self, count: int) -> Iterator[Callable[[bytes], SendResponse]]:
        """Keep N connections open, for N threads that each deliver one body after the other.

        Yields:
            A function like `send`.
        """
        with urllib3.PoolManager(maxsize=count, block=True) as pool:
            yield partial(self._post, pool)

    def _post(self, pool: urllib3.PoolManager, body: bytes) -> SendResponse:
        now = datetime.now(UTC)
        headers = {"content-type": "application/json"}
        if self.signer:
            headers |= self.signer.sign(body, f"msg_{sha256(body).hexdigest()[:24]}", now)
        started = time.perf_counter()
        response = pool.request("POST", self.url, body=body, headers=headers, timeout=TIMEOUT_SECONDS, retries=False)
        return SendResponse(response.status, _json(response.data), (time.perf_counter() - started) * 1000)


def _json(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
