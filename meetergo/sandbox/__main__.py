"""`python -m meetergo.sandbox`: the stand-in on a port of this machine, until Ctrl-C."""

from meetergo.sandbox.command import command

if __name__ == "__main__":
    command(prog_name="python -m meetergo.sandbox")
