"""The calendar's blueprint in an app of its own, on the stores of the harness."""

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.calendar import calendar_blueprint
from operations import calendar
from operations.calendar import CalendarSigner
from tests.worker.conftest import harness, open_harness
from tests.worker.harness import AT, Harness

__all__ = ["harness", "open_harness"]

KEY = "k" * 40

Link = Callable[..., str]


def client_of(harness: Harness, *keys: str) -> FlaskClient:
    app = Flask("api")
    app.register_blueprint(calendar_blueprint(harness.services.database, keys or [KEY]))
    return app.test_client()


@pytest.fixture
def client(harness: Harness) -> FlaskClient:
    return client_of(harness)


@pytest.fixture
def link(harness: Harness) -> Link:
    """Return the path of a host's calendar, as `calendar link` makes it."""

    def linked(external_id: str = "1", *keys: str) -> str:
        feed_id = calendar.share(harness.services.database, external_id, AT, by="ada", reason="asked")
        return CalendarSigner(keys or [KEY]).path(feed_id)

    return linked
