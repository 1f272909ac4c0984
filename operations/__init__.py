"""What an operator can do, as functions and classes with typed results: no printing, no command line."""
