"""`python -m worker.schedule`: the name of `worker.scheduler` of before, for Procfiles that still say so."""

from worker.scheduler import main

if __name__ == "__main__":
    main()
