"""The page of a list that the request's query string asks for; see also `operations/keyset.py`."""

from typing import Any

from flask import request
from sqlalchemy import Select
from sqlalchemy.orm import Session

from dashboard.page_size import most_rows
from operations.keyset import Conditions, KeysetPage, TabList, fetch_page, parse_key

PAGE_SIZE = 50
AFTER = "after"


def fetch(
    session: Session, query: Select[Any], *key: Any, unindexed: Conditions | None = None, descending: bool = True
) -> KeysetPage:
    """Fetch the page that the request's query string asks for: see `fetch_page`."""
    after = parse_key(request.args.get(AFTER), key)
    return fetch_page(session, query, key, after, most_rows(PAGE_SIZE), unindexed, descending=descending)


def fetch_tab(session: Session, tab: TabList) -> KeysetPage:
    """Fetch the page of a tab that the request's query string asks for."""
    unindexed = tab.unindexed_filters if tab.has_unindexed_filters else None
    return fetch(session, tab.query, *tab.key, unindexed=unindexed, descending=tab.is_descending)
