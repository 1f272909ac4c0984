"""`python -m devtools.sandbox`: run the sandbox on a local port until Ctrl-C."""

from devtools.sandbox.command import command

if __name__ == "__main__":
    command(prog_name="python -m devtools.sandbox")
