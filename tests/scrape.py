"""Scrape our processes as Prometheus does."""

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

import urllib3
from prometheus_client.parser import text_string_to_metric_families

TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Scrape:
    """A scrape: `text` as received; `samples` by name and labels."""

    text: str
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float]

    def value(self, name: str, **labels: str) -> float | None:
        return self.samples.get((f"meetergo_inbox_{name}", frozenset(labels.items())))

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.samples}


def read(*ports: int) -> Scrape:
    """Scrape all targets; a target that does not respond is omitted."""
    texts = [_get(port) for port in ports]
    samples = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for text in texts
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    return Scrape("".join(texts), samples)


def read_until(condition: Callable[[Scrape], object], *ports: int) -> Scrape:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        scrape = read(*ports)
        if condition(scrape):
            return scrape
        assert time.monotonic() < deadline, scrape.text
        time.sleep(0.1)


def free_ports(count: int) -> int:
    """Return the first of N consecutive free ports."""
    for first in range(20_000 + os.getpid() * 7 % 10_000, 32_000, 7):  # other test processes use other ranges
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise AssertionError("no ports in a row are free")


def _get(port: int) -> str:
    with urllib3.PoolManager() as pool:
        try:
            return pool.request("GET", f"http://127.0.0.1:{port}/metrics", timeout=5, retries=False).data.decode()
        except urllib3.exceptions.HTTPError:
            return ""
