"""`python -m devtools.sandbox`: the stand-in on a port of this machine, until Ctrl-C."""

from devtools.sandbox.command import command

if __name__ == "__main__":
    command(prog_name="python -m devtools.sandbox")
