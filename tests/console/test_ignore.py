"""`deliveries ignore`: closes what is dead, with a reason, and nothing else."""

import json
from collections.abc import Callable

from click.testing import Result

from console import samples
from console.ignore import ignore
from models.delivery import Delivery
from models.intervention import Intervention
from tests.worker.desk import AT, START, Desk

Type = Callable[..., Result]


def test_a_dead_delivery_is_closed_with_a_reason(desk: Desk, type_in: Type) -> None:
    one, two = desk.deliver(b"not json", b"nor this")
    desk.work_off()
    result = type_in(ignore, one[:8], two, "--reason", "a test of theirs", "--by", "another")
    assert (result.exit_code, result.output.count("ignored")) == (0, 2)
    assert [(row.status, row.note) for row in desk.all(Delivery)] == [("done", "ignored: a test of theirs")] * 2
    assert {(act.kind, act.by, act.reason) for act in desk.all(Intervention)} == {
        ("ignored", "another", "a test of theirs")
    }
    assert desk.office.bell.queue("inbox").failed_job_registry.get_job_ids() == []


def test_json_says_what_was_closed(desk: Desk, type_in: Type) -> None:
    (one,) = desk.deliver(b"not json")
    desk.work_off()
    said = json.loads(type_in(ignore, one, "--reason", "x", "--json").stdout)
    assert said == {"ignored": [one], "redis_answers": True}


def test_it_needs_a_reason_and_a_dead_delivery(desk: Desk, type_in: Type) -> None:
    desk.tell(samples.created("b1", START, AT))
    (row,) = desk.all(Delivery)
    assert type_in(ignore, row.id).exit_code == 2
    assert type_in(ignore, "--reason", "x").exit_code == 2
    result = type_in(ignore, row.id, "--reason", "x")
    assert result.exit_code == 1
    assert f"delivery {row.id} is done, not dead" in result.output
    assert desk.all(Intervention) == []
