"""Where meetergo's API is, and how much it accepts. Settings read these without loading an HTTP client."""

from datetime import timedelta

API_URL = "https://api.meetergo.com"
PER_MINUTE = 100
"""Requests per key. Source: developer.meetergo.com/developer-docs/best-practices/rate-limiting."""
PAGE_SIZE = 100
"""The most objects on a page of a list."""
BULK_SHARE = 0.8
"""Share of the limit for long runs, which leaves room for the worker."""
MAX_WAIT = timedelta(minutes=5)
"""How long a request may wait for the rate limit."""
