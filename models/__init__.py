"""The tables, the rules that belong to a row, queries and migrations."""
