"""The receiver persists a delivery once, triggers once, and always answers the same."""

from collections.abc import Callable
from hashlib import sha256

import pytest
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer
from sqlalchemy import select

from models.tables import Delivery
from runtime.database import Database
from runtime.queue import JobQueue
from runtime.signed_address import AddressSigner
from tests.payloads import payload
from tests.receiver.conftest import ADDRESS, KEY, OLD_KEY
from tests.receiver.in_process import ReceiverInProcess

BODY = payload("booking_created")
PERSONAL = (b"Jane", b"Doe", b"example.com", b"555-123", b"secret-token", b"zoom.us", b"appt-uuid", b"booking_created")


def test_a_delivery_is_answered_with_200_and_its_id(app: ReceiverInProcess) -> None:
    response = app.test_client().post(ADDRESS, data=BODY)
    assert response.status_code == 200
    assert response.text == f'{{"status":"accepted","delivery":"{sha256(BODY).hexdigest()}"}}'
    assert response.content_type == "application/json"
    assert response.headers["Cache-Control"] == "no-store"


def test_a_delivery_is_one_pending_row_however_often_it_comes(app: ReceiverInProcess, database: Database) -> None:
    responses = {app.test_client().post(ADDRESS, data=BODY).data for _ in range(3)}
    assert len(responses) == 1
    with database.read_only() as session:
        row = session.scalars(select(Delivery)).one()
    assert (row.id, row.body) == (sha256(BODY).hexdigest(), BODY)
    assert (row.account, row.source, row.status, row.attempts) == ("default", "webhook", "pending", 0)


@pytest.mark.parametrize("body", [b"not JSON", b"\x00\xff", b"{}", b" ", payload("booking_created") + b"\n"])
def test_any_body_is_stored_as_it_came(app: ReceiverInProcess, stored: Callable[[], list[bytes]], body: bytes) -> None:
    assert app.test_client().post(ADDRESS, data=body, content_type="text/plain").status_code == 200
    assert stored() == [body]


def test_form_data_is_kept_raw(app: ReceiverInProcess, stored: Callable[[], list[bytes]]) -> None:
    form = b"a=1&b=2"
    response = app.test_client().post(ADDRESS, data=form, content_type="application/x-www-form-urlencoded")
    assert response.status_code == 200
    assert stored() == [form]


def test_many_deliveries_enqueue_one_drain(
    app: ReceiverInProcess, redis: Redis, stored: Callable[[], list[bytes]]
) -> None:
    for number in range(20):
        assert app.test_client().post(ADDRESS, data=payload("booking_created", id=number)).status_code == 200
    assert len(stored()) == 20
    [job] = Queue("meetergo-inbox-inbox", connection=redis, serializer=JSONSerializer).jobs
    assert (job.func_name, job.args) == ("worker.jobs.drain", ["inbox"])


def test_redis_holds_jobs_as_json_and_nothing_of_people(
    app: ReceiverInProcess, redis: Redis, everything_in_redis: Callable[[], bytes]
) -> None:
    app.test_client().post(ADDRESS, data=BODY)
    found = everything_in_redis()
    assert b'["worker.jobs.drain"' in found
    assert not [word for word in (*PERSONAL, ADDRESS.encode(), sha256(BODY).hexdigest().encode()) if word in found]


@pytest.mark.parametrize("key", [OLD_KEY, KEY])
def test_the_address_of_a_delivery_is_recorded_once_a_minute(app: ReceiverInProcess, redis: Redis, key: str) -> None:
    (fingerprint,) = AddressSigner([key]).fingerprints("default")
    last_seen = JobQueue(redis).last_seen
    assert last_seen(fingerprint) is None
    app.test_client().post(AddressSigner([key]).path("default"), data=BODY)
    first = last_seen(fingerprint)
    assert first
    app.test_client().post(AddressSigner([key]).path("default"), data=BODY)
    assert last_seen(fingerprint) == first
    others = set(AddressSigner([OLD_KEY, KEY]).fingerprints("default")) - {fingerprint}
    assert [last_seen(other) for other in others] == [None]


def test_a_rejected_delivery_is_not_recorded(app: ReceiverInProcess, redis: Redis) -> None:
    app.test_client().post(ADDRESS[:-1] + ("x" if ADDRESS[-1] != "x" else "y"), data=BODY)
    app.test_client().post(ADDRESS, data=b"")
    assert not redis.keys("*came-by*")
