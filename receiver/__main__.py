"""`python -m receiver`: the receiver's processes."""

from runtime.process.reexec import reexec_without


def main() -> None:
    """Run the receiver, without the key that Procfile runners give to each process with the rest of .env."""
    reexec_without("MEETERGO_API_KEY")
    from receiver import server  # late: a process that starts itself again would import all of it twice

    server.run()


if __name__ == "__main__":
    main()
