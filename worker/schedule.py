"""`python -m worker.schedule`: former name of `worker.scheduler`, kept for existing Procfiles."""

from worker.scheduler import main

if __name__ == "__main__":
    main()
