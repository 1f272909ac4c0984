"""`python -m worker.schedule`: the name of `worker.scheduler` until version 0.9; Procfiles of that time have it."""

from worker.scheduler import main

if __name__ == "__main__":
    main()
