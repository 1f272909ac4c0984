"""`python -m console`: the operators' commands."""

import click

from console.commands import COMMANDS
from models import logs

cli = click.Group("console", commands=COMMANDS, help="The operators' desk of meetergo-inbox.")

if __name__ == "__main__":
    logs.configure()
    cli(prog_name="python -m console")
