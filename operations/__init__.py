"""Operators' actions as functions and classes with typed results; nothing here prints or parses a command line."""
