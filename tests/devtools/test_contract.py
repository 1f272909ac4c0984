"""The contract: its documents are those of the code, its tables those of the databases, and real events fit it."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from sqlalchemy import inspect, text
from sqlalchemy.types import NullType

from devtools.contract.events import asyncapi, event_schema
from devtools.contract.files import EVENT_SCHEMA, outdated
from devtools.contract.tables import CONTRACT, DIALECTS, SHORT_NAMES
from devtools.send import mix, samples
from models.booking import NotificationKind
from models.notification import Notification
from runtime.database import Database, schema_of
from tests.console.cli import ON_SQLITE
from tests.raw_sql import sql
from tests.worker.conftest import open_harness
from tests.worker.harness import AT, START, Harness, later
from worker.channels.webhook import TYPES, _body
from worker.outbox.planner import to_message

__all__ = ["open_harness"]
NOW = datetime(2024, 1, 20, tzinfo=UTC)
SHARED_PLACE = "https://platform.example/hook"
SECRET = "whsec_" + "c2VjcmV0" * 4


@pytest.fixture
def harness(open_harness: Callable[..., Harness]) -> Harness:
    return open_harness(notify_default=SHARED_PLACE, notify_signing_secret=SECRET)


def test_the_documents_are_up_to_date() -> None:
    assert [str(file) for file in outdated()] == [], "run `make contract` and commit what it writes"


def test_every_kind_of_notification_is_an_event() -> None:
    kinds = {*NotificationKind.__args__}  # type: ignore[attr-defined]
    assert {*TYPES, "summary"} == kinds
    types = {*TYPES.values(), "bookings.summary"}
    assert {*asyncapi()["components"]["messages"]} == types


def test_the_schema_is_valid_and_refuses_what_is_no_event() -> None:
    schema = json.loads(EVENT_SCHEMA.read_text())
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)
    for broken in ({}, {"type": "booking.created"}, {"type": "booking.x", "timestamp": "x", "data": {}}):
        with pytest.raises(ValidationError):
            Draft202012Validator(schema).validate(broken)


def strict() -> Draft202012Validator:
    """The schema, which then also refuses what it does not list."""
    schema = deepcopy(event_schema())
    for definition in schema["$defs"].values():
        definition["additionalProperties"] = False
    return Draft202012Validator(schema, format_checker=FormatChecker())


def posted(harness: Harness) -> Iterator[dict[str, Any]]:
    """What the channel posts for each notification."""
    return (json.loads(_body(to_message(row))) for row in harness.all(Notification))


@ON_SQLITE
def test_what_is_posted_is_as_the_schema_says(harness: Harness) -> None:
    owner = harness.add_user(meetergo_user_id=samples.HOST_ID)
    harness.add_user(external_id="2", meetergo_user_id="co-host", name=None, email=None, channels=[SHARED_PLACE + "/2"])
    harness.process(
        samples.created("b1", START, AT),
        samples.created("b1", START, AT, hosts=[], hostIds=[samples.HOST_ID, "co-host"], updatedAt=str(later(1))),
        samples.rescheduled("b1", START + timedelta(hours=1), later(2), START),
        samples.attendee_left("b1", START, later(3)),
        samples.cancelled("b1", START, later(4)),
    )
    harness.deliver(*mix.mix("contract", 60, NOW, Random(7)))
    harness.process_due()
    harness.process(*(samples.created(f"late-{n}", START, AT, hosts=[], hostIds=["new-host"]) for n in range(3)))
    new_host = {"webhookType": "new_employee", "id": "new-host", "email": "new@example.com"}
    harness.add_user(external_id="3", email="new@example.com", channels=[SHARED_PLACE + "/3"])
    harness.process(new_host)
    events = list(posted(harness))
    for event in events:
        strict().validate(event)
    assert owner.id in {event["data"]["host"] and event["data"]["host"]["id"] for event in events}
    assert {event["type"] for event in events} == {*TYPES.values(), "bookings.summary"}


def _references(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        yield from ([document["$ref"]] if "$ref" in document else ())
        for value in document.values():
            yield from _references(value)
    elif isinstance(document, list):
        for value in document:
            yield from _references(value)


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = asyncapi()
    references = set(_references(document))
    assert len(references) > 10
    for reference in references:
        found = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


@ON_SQLITE
def test_each_message_of_the_asyncapi_document_takes_its_own_event_alone(harness: Harness) -> None:
    harness.process(samples.created("b1", START, AT), samples.cancelled("b1", START, later(1)))
    created, cancelled = posted(harness)
    document = asyncapi()
    schemas = {"components": document["components"]}
    created_schema = {**schemas, **document["components"]["messages"]["booking.created"]["payload"]}
    assert Draft202012Validator(created_schema).is_valid(created)
    assert not Draft202012Validator(created_schema).is_valid(cancelled)


@pytest.mark.parametrize("name", CONTRACT)
def test_the_columns_are_those_of_the_database(database: Database, name: str) -> None:
    number = 0 if database.engine.dialect.name == "postgresql" else 1
    found = {
        column["name"]: column
        for column in inspect(database.engine).get_columns(name, schema=schema_of(database.engine))
    }
    columns = CONTRACT[name][1]
    if name.endswith("_v1"):
        assert [column.name for column in columns] == list(found)
    for column in columns:
        is_table = not name.endswith("_v1")
        if not isinstance(found[column.name]["type"], NullType):  # SQLite knows no type of an expression
            kind = found[column.name]["type"].compile(DIALECTS[number])
            assert SHORT_NAMES.get(kind, kind.lower()) == column.type_on(DIALECTS[number])
        assert not is_table or found[column.name]["nullable"] == column.nullable


def rows(harness: Harness, query: str) -> list[tuple[Any, ...]]:
    with harness.services.database.engine.connect() as connection:
        schema = schema_of(connection)
        return [
            tuple(row)
            for row in connection.execute(text(query.replace("FROM ", f"FROM {schema}." if schema else "FROM ")))
        ]


def test_the_hosts_of_a_booking_are_rows(harness: Harness) -> None:
    harness.add_user(external_id="by-type", meetergo_meeting_type_id="sample-type")
    harness.add_user(external_id="4711", meetergo_user_id="host-1")
    harness.process(
        samples.created("b1", START, AT, hosts=[], hostIds=["host-1", "host-2"]),
        samples.created("b2", START, AT, hosts=[], hostIds=["host-3"]),
    )
    found = rows(
        harness,
        "SELECT booking_id, meetergo_user_id, external_id, is_owner FROM booking_hosts_v1"
        " ORDER BY booking_id, coalesce(meetergo_user_id, '~')",
    )
    assert [(*row[:3], bool(row[3])) for row in found] == [
        ("b1", "host-1", "4711", True),
        ("b1", "host-2", None, False),
        ("b2", "host-3", None, False),
        ("b2", None, "by-type", True),
    ]
    assert rows(harness, "SELECT id, revision, external_id FROM bookings_v1 ORDER BY id") == [
        ("b1", 1, "4711"),
        ("b2", 1, "by-type"),
    ]
    assert len(rows(harness, "SELECT notification_kinds FROM booking_changes_v1")) == 2


def test_a_row_with_unreadable_hosts_hides_no_other(harness: Harness) -> None:
    harness.process(samples.created("b1", START, AT), samples.created("b2", START, AT))
    is_postgresql = harness.services.database.supports_skip_locked
    with harness.services.database.engine.begin() as connection:
        broken = """'{"a": 1}'""" if is_postgresql else "'not json'"
        connection.execute(sql(connection, f"UPDATE bookings SET host_ids = {broken} WHERE id = 'b1'"))
    assert {row[0] for row in rows(harness, "SELECT booking_id FROM booking_hosts_v1")} == {"b2"}
