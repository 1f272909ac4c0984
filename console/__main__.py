"""`python -m console`: the operators' commands."""

import click

from console.api import api
from console.book import book
from console.commands import COMMANDS
from console.meeting_types import meeting_types
from console.slots import slots
from console.templates import templates
from console.users import users
from console.webhook import webhook

PROVIDER = [api, webhook, users, meeting_types, templates, slots, book]

cli = click.Group("console", commands=[*COMMANDS, *PROVIDER], help="The operators' desk of meetergo-inbox.")

if __name__ == "__main__":
    cli(prog_name="python -m console")
