"""The metrics server: serves the metrics of one kind of process to Prometheus, from its own process.

Each process counts in files of a folder, and the server adds them up, so counts survive the process that made them.
prometheus_client reads the folder's name once, at its first import. So it is imported late everywhere, and only where
metrics are enabled.
"""

import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from runtime.http.threaded_server import HealthCheck, start_http_server
from runtime.settings import MetricsSettings, check_port_free
from runtime.version import VERSION

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric

ProcessKind = Literal["web", "worker", "cron"]

PORT_OFFSETS: dict[ProcessKind, int] = {"web": 0, "worker": 1, "cron": 2}
"""Offset from METRICS_PORT per kind of process, so that all can run on one machine with the same settings."""

MULTIPROC_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
OWNER_CHECK_INTERVAL = timedelta(seconds=1)


@dataclass(frozen=True)
class MetricsServer:
    """Serves the metrics of one kind of process.

    Attributes:
        kind: the kind of process.
        host: address to listen on.
        port: port to listen on.
        folder: where these processes count.
        health_check: whether these processes are alive; None if they answer that themselves.
        owner: the process that started all of them; the numbers are served as long as it lives.
    """

    kind: ProcessKind
    host: str
    port: int
    folder: Path
    health_check: HealthCheck | None = None
    owner: int = field(default_factory=os.getpid)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve from a child process until the block ends."""
        process = multiprocessing.get_context("fork").Process(target=self.serve)
        process.start()
        try:
            yield
        finally:
            process.terminate()
            process.join()

    def serve(self) -> None:
        """Serve until the owner terminates it or dies; if it died, remove its folder."""
        from prometheus_client import CollectorRegistry

        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the owner: what ends meanwhile still counts
        registry = CollectorRegistry()
        register_collector(registry, self.folder)
        add_build_info(registry, self.kind)
        start_http_server(self.host, self.port, registry, self.health_check)
        while os.getppid() == self.owner:
            time.sleep(OWNER_CHECK_INTERVAL.total_seconds())
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def open_metrics_server(
    settings: MetricsSettings, kind: ProcessKind, health_check: HealthCheck | None = None
) -> Iterator[MetricsServer | None]:
    """Enable metrics in this process and its children. Yields None if METRICS_PORT is not set.

    Raises:
        SystemExit: the port is taken.
    """
    port = port_of(settings, kind)
    if port is None:
        yield None
        return
    with TemporaryDirectory(prefix="meetergo-inbox-") as folder:
        os.environ[MULTIPROC_FOLDER_VARIABLE] = folder
        yield MetricsServer(kind, settings.metrics_host, port, Path(folder), health_check)


def port_of(settings: MetricsSettings, kind: ProcessKind) -> int | None:
    """Return the metrics port of a kind of process; None if METRICS_PORT is not set.

    Raises:
        SystemExit: the port is taken.
    """
    if settings.metrics_port is None:
        return None
    port = settings.metrics_port + PORT_OFFSETS[kind]
    check_port_free("METRICS_PORT", settings.metrics_host, port)
    return port


def register_collector(registry: "CollectorRegistry", folder: Path) -> None:
    """Register a collector that adds up what the processes counted in the files of the folder.

    A process creates its file first and gives it a size afterwards. prometheus_client fails on the empty file, and
    Prometheus would get a 500 each time a process has just started, so what is empty is left out here.
    """
    from prometheus_client.multiprocess import MultiProcessCollector

    class NonEmptyFilesCollector(MultiProcessCollector):
        @staticmethod
        def merge(files: list[str], accumulate: bool = True) -> "Iterable[Metric]":
            filled = [file for file in files if Path(file).stat().st_size > 0]
            merged: Iterable[Metric] = MultiProcessCollector.merge(filled, accumulate)  # type: ignore[no-untyped-call]
            return merged

    NonEmptyFilesCollector(registry, str(folder))  # type: ignore[no-untyped-call] # has no types


def add_build_info(registry: "CollectorRegistry", kind: ProcessKind) -> None:
    """Add the version and the kind of process to the metrics."""
    from prometheus_client import Info

    Info("meetergo_inbox_build", "What is running.", registry=registry).info({"version": VERSION, "process": kind})
