"""`python on_our_server.py bare:app`: any WSGI app on Granian, with the very options of `python -m receiver`."""

import sys
from typing import Any

from granian.server import Server

from receiver import __main__ as ours
from receiver.settings import ReceiverSettings


def main(target: str) -> None:
    """Serves it. Only the name of the app differs: the call that we make is the receiver's own."""

    def server(_: str, **options: Any) -> Server:
        return Server(target, **options)

    ours.Server = server  # type: ignore[assignment,misc] # its options stay where they are used
    ours._serve(ReceiverSettings.load())


if __name__ == "__main__":
    main(sys.argv[1])
