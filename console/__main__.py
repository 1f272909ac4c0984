"""`python -m console`: the operators' commands."""

import logging
import sys
from io import TextIOWrapper

from console.adopt_queue import adopt_queue
from console.api import api
from console.book import book
from console.bookings import bookings
from console.commands import COMMANDS
from console.completion import VARIABLE, completion
from console.deliveries import deliveries
from console.desk import RootGroup
from console.events import events
from console.meeting_types import meeting_types
from console.notifications import notifications
from console.slots import slots
from console.status import status
from console.templates import templates
from console.users import users
from console.webhook import webhook
from devtools.sandbox_command import sandbox
from runtime import logs

LOOK = [status, deliveries, bookings, notifications, events, adopt_queue, completion]
PROVIDER = [api, webhook, users, meeting_types, templates, slots, book, sandbox]

HELP = """The operators' desk of meetergo-inbox.

\b
Exit codes: 0   done
            1   something needs a person, or was refused
            2   wrong usage, or a setting that is missing or malformed
            130 interrupted (Ctrl-C; of status --watch and events tail the usual end: 0)
"""

WIDEST = {"max_content_width": 120}

cli = RootGroup("console", commands=[*LOOK, *COMMANDS, *PROVIDER], help=HELP, context_settings=WIDEST)

if __name__ == "__main__":
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    logs.configure()
    logging.getLogger("meetergo.api").setLevel(logging.WARNING)  # what it repeats is its own business
    cli(prog_name="python -m console", complete_var=VARIABLE)
