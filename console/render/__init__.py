"""Rows as people and scripts read them."""
