"""`completion`: print the script that completes `inbox` in a shell: commands, options, recent ids."""

import click
from click.shell_completion import get_completion_class

from console.app import VARIABLE

PROGRAM = "inbox"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, /, shell: str) -> None:
    """Print the script that lets your shell complete `inbox` (see bin/inbox).

    \b
    bash: eval "$(inbox completion bash)"             in ~/.bashrc
    zsh:  eval "$(inbox completion zsh)"              in ~/.zshrc
    fish: inbox completion fish | source              in ~/.config/fish/config.fish
    """  # noqa: D301 - it is the character by which click leaves lines as they are
    shells = get_completion_class(shell)
    if shells:
        click.echo(shells(context.find_root().command, {}, PROGRAM, VARIABLE).source())
