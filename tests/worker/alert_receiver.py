"""The operators' channel: a real HTTP server that records what it receives, or fails."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any


@dataclass
class AlertReceiver:
    """`url` is Apprise's; `answer` is the status that it returns; while `responding` is unset, it hangs."""

    url: str
    answer: int = 200
    received: list[tuple[str, str]] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    requests: int = 0
    responding: Event = field(default_factory=Event)

    def subjects(self) -> list[str]:
        return [subject.removeprefix("meetergo-inbox: ") for subject, _ in self.received]


@contextmanager
def alert_receiver() -> Iterator[AlertReceiver]:
    listening: list[AlertReceiver] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said, who = json.loads(self.rfile.read(int(self.headers["content-length"]))), listening[0]
            who.requests += 1
            who.responding.wait()
            if who.answer == 200:
                who.received.append((said["title"], said["message"]))
                who.kinds.append(said["type"])
            self.send_response(who.answer)
            self.end_headers()

        def log_message(self, *_args: Any) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        listening.append(AlertReceiver(f"json://the-user:the-password@127.0.0.1:{server.server_port}/the-path"))
        listening[0].responding.set()
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield listening[0]
        listening[0].responding.set()
        server.shutdown()
