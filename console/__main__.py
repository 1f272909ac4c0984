"""`python -m console`, which bin/inbox calls: the operators' commands."""

import atexit
import gc
import logging
import sys
from importlib.util import find_spec
from io import TextIOWrapper

import click

from console.app import VARIABLE, LazyCommand, RootGroup, exit_with_unwritable_output
from runtime import logs
from runtime.version import VERSION

COMMANDS = {
    "accounts": LazyCommand(
        "console.commands.system.accounts:accounts", "Serve several companies of meetergo: see docs/accounts.md."
    ),
    "adopt-queue": LazyCommand(
        "console.commands.system.adopt_queue:adopt_queue",
        "Store webhooks of a QUEUE that no worker takes from it; without QUEUE, list such queues.",
    ),
    "api": LazyCommand("console.commands.meetergo.api:api", "Check meetergo's API."),
    "api-tokens": LazyCommand("console.commands.system.api_tokens:api_tokens", "Tokens of the read API."),
    "book": LazyCommand("console.commands.bookings.book:book", "Book a time with a host."),
    "bookings": LazyCommand("console.commands.bookings.bookings:bookings", "List bookings, and show their history."),
    "calendar": LazyCommand(
        "console.commands.bookings.calendar:calendar", "Print and revoke the link of a host's calendar."
    ),
    "completion": LazyCommand(
        "console.commands.system.completion:completion",
        "Print the script that lets your shell complete `inbox` (see bin/inbox).",
    ),
    "copy-database": LazyCommand(
        "console.commands.system.copy_database:copy_database", "Copy all rows from DATABASE_URL to an empty database."
    ),
    "dashboard": LazyCommand(
        "console.commands.system.dashboard:dashboard", "The operators' web page: print a login link."
    ),
    "deliveries": LazyCommand(
        "console.commands.deliveries.deliveries:deliveries", "List received webhooks, and show their results."
    ),
    "erase": LazyCommand(
        "console.commands.system.privacy:erase", "Erase one guest from bookings, changes, notifications and deliveries."
    ),
    "events": LazyCommand("console.commands.deliveries.events:events", "Show what is happening now."),
    "healthcheck": LazyCommand(
        "console.commands.system.maintenance:healthcheck",
        "Exit 0 if this machine's worker or scheduler is alive (for health checks).",
    ),
    "meeting-types": LazyCommand(
        "console.commands.meetergo.meeting_types:meeting_types", "List and change the meeting types of a host."
    ),
    "migrate": LazyCommand(
        "console.commands.system.maintenance:migrate", "Migrate the database to the schema of this version."
    ),
    "notifications": LazyCommand(
        "console.commands.deliveries.notifications:notifications",
        "List notifications, show their attempts, and preview mails.",
    ),
    "prune": LazyCommand(
        "console.commands.system.privacy:prune",
        "Delete deliveries and notifications past their retention (the scheduler does it daily).",
    ),
    "reconcile": LazyCommand(
        "console.commands.bookings.reconcile:reconcile",
        "Find changes that no webhook delivered, and apply them (the scheduler does it every 10 minutes).",
    ),
    "reencrypt": LazyCommand(
        "console.commands.system.privacy:reencrypt",
        "Encrypt all stored bodies and API keys with the newest of BODY_KEYS; then the older keys can be removed.",
    ),
    "replay": LazyCommand(
        "console.commands.deliveries.replay:replay",
        "Process deliveries again, for example dead ones whose cause is fixed.",
    ),
    "runs": LazyCommand(
        "console.commands.deliveries.runs:runs", "List, show and cancel runs, which go on in the background."
    ),
    "slots": LazyCommand(
        "console.commands.bookings.slots:slots",
        "List the times at which a host can be booked, in the host's time zone.",
    ),
    "status": LazyCommand("console.commands.system.status:status", "Show the state of the system."),
    "templates": LazyCommand("console.commands.meetergo.templates:templates", "Create a meeting type for many hosts."),
    "users": LazyCommand("console.commands.meetergo.users:users", "Manage hosts as users of meetergo."),
    "webhook": LazyCommand("console.commands.meetergo.webhook:webhook", "Register and rotate our address at meetergo."),
}
DEVELOPMENT_COMMANDS = {
    "demo": LazyCommand("devtools.commands:demo", "Run a short demo from webhook to notification, on its own servers."),
    "run": LazyCommand(
        "devtools.commands:run",
        "Run receiver, worker, scheduler and dashboard until Ctrl-C, with a private Redis if REDIS_URL is unset.",
    ),
    "sandbox": LazyCommand(
        "devtools.sandbox_command:sandbox", "Run a stand-in for meetergo on this machine, until Ctrl-C."
    ),
    "send": LazyCommand("devtools.send.command:send", "Deliver samples, a mix of them, or a file, over real HTTP."),
}
"""Only where `devtools` is installed: the image does not contain it."""
FORMER_NAMES = {
    "alive": COMMANDS["healthcheck"]._replace(name="healthcheck"),
    "endpoint": LazyCommand("console.commands.meetergo.webhook:webhook_url", name="webhook url"),
    "reseal": COMMANDS["reencrypt"]._replace(name="reencrypt"),
}
"""Hidden from help, because scripts may still use them."""

HELP = """Operate meetergo-inbox.

\b
Exit codes: 0   done
            1   something needs a person, or the operation failed
            2   wrong usage, or a setting that is missing or malformed
            130 interrupted (Ctrl-C; 0 for status --watch and events tail)
"""

CONTEXT_SETTINGS = {"max_content_width": 120, "help_option_names": ["-h", "--help"]}

cli = RootGroup(
    "console",
    lazy_commands={**COMMANDS, **FORMER_NAMES, **(DEVELOPMENT_COMMANDS if find_spec("devtools") else {})},
    help=HELP,
    context_settings=CONTEXT_SETTINGS,
)

click.version_option(VERSION, prog_name="meetergo-inbox")(cli)

GC_THRESHOLD = 400_000
"""New objects between two garbage collections. The imports of a large command make up to 240,000, all of which stay:
with Python's own number, a tenth of the time of a command is spent on looking through them."""


def main() -> None:
    """Run the command that was typed."""
    gc.set_threshold(GC_THRESHOLD)
    atexit.register(gc.freeze)  # otherwise the end of the process looks through them again, a twelfth of the time
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    logs.configure(logging.WARNING)  # hides the retries of the API client
    try:
        cli(prog_name="bin/inbox", complete_var=VARIABLE)
    except OSError as error:
        exit_with_unwritable_output(error)


if __name__ == "__main__":
    main()
