"""`python on_our_server.py bare:app`: run any app on Granian with exactly the options of `python -m receiver`."""

import sys
from typing import Any

from granian.constants import Interfaces
from granian.server import Server

from receiver import server as ours
from receiver.settings import ReceiverSettings

RSGI = ("stages:app",)
"""Apps with their own event loop; all others are WSGI apps, which run in threads."""


def main(target: str) -> None:
    """Serve the app. Only the app differs: the call is the receiver's own."""
    settings = ReceiverSettings.load()
    wsgi = {"interface": Interfaces.WSGI, "blocking_threads": settings.web_threads}

    def server(_: str, **options: Any) -> Server:
        return Server(target, **(options | ({} if target in RSGI else wsgi)))

    ours.Server = server  # type: ignore[assignment,misc] # its options stay where they are used
    ours._serve(settings)


if __name__ == "__main__":
    main(sys.argv[1])
