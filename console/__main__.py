"""`python -m console`, which bin/inbox calls: the operators' commands."""

import logging
import sys
from importlib import import_module
from importlib.util import find_spec
from io import TextIOWrapper

from console.app import RootGroup
from console.commands.adopt_queue import adopt_queue
from console.commands.api import api
from console.commands.book import book
from console.commands.bookings import bookings
from console.commands.completion import VARIABLE, completion
from console.commands.deliveries import deliveries
from console.commands.events import events
from console.commands.maintenance import COMMANDS
from console.commands.meeting_types import meeting_types
from console.commands.notifications import notifications
from console.commands.slots import slots
from console.commands.status import status
from console.commands.templates import templates
from console.commands.users import users
from console.commands.webhook import webhook
from runtime import logs

DATA_COMMANDS = [status, deliveries, bookings, notifications, events, adopt_queue, completion]
MEETERGO_COMMANDS = [api, webhook, users, meeting_types, templates, slots, book]
DEVELOPMENT_COMMANDS = import_module("devtools.commands").COMMANDS if find_spec("devtools") else []
"""`run`, `demo`, `send` and `sandbox`; the image does not contain them."""

HELP = """Operate meetergo-inbox.

\b
Exit codes: 0   done
            1   something needs a person, or the operation failed
            2   wrong usage, or a setting that is missing or malformed
            130 interrupted (Ctrl-C; 0 for status --watch and events tail)
"""

CONTEXT_SETTINGS = {"max_content_width": 120}

cli = RootGroup(
    "console",
    commands=[*DATA_COMMANDS, *COMMANDS, *MEETERGO_COMMANDS, *DEVELOPMENT_COMMANDS],
    help=HELP,
    context_settings=CONTEXT_SETTINGS,
)

if __name__ == "__main__":
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    logs.configure()
    logging.getLogger("meetergo.api").setLevel(logging.WARNING)  # retries of the client are of no interest here
    cli(prog_name="bin/inbox", complete_var=VARIABLE)
