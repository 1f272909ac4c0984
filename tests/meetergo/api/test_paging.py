"""Paged lists, which shift while they are read."""

from itertools import islice
from typing import Any

import pytest

from meetergo.api import Meetergo
from meetergo.api.errors import BadResponse
from tests.meetergo.api.fake_api import FakeApi, FakeResponse


def page(*ids: int, total: int | None = None) -> Any:
    listed = [{"id": f"a-{number}"} for number in ids]
    return {"appointments": listed} if total is None else {"appointments": listed, "total": total}


def read(client: Meetergo, page_size: int = 2) -> list[str]:
    return [each.id for each in client.appointments.list(page_size=page_size)]


@pytest.mark.parametrize(
    ("pages", "ids"),
    [
        ([page(1, 2, total=5), page(3, 4, total=5), page(5, total=5)], [1, 2, 3, 4, 5]),
        ([page(1, 2, total=4), page(3, 4, total=4)], [1, 2, 3, 4]),
        ([page(1, 2), page(3)], [1, 2, 3]),
        ([page(1, 2), page(3, 4), page()], [1, 2, 3, 4]),
        ([page(total=0)], []),
        ([page()], []),
        ([page(1, total=1)], [1]),
    ],
)
def test_a_list_is_read_exactly_to_its_end(
    pages: list[Any], ids: list[int], fake_api: FakeApi, client: Meetergo
) -> None:
    fake_api.respond_with(*pages)
    assert read(client) == [f"a-{number}" for number in ids]
    assert [request.query["page"] for request in fake_api.requests] == [[str(number)] for number in range(len(pages))]
    assert {request.query["pageSize"][0] for request in fake_api.requests} == {"2"}


def test_an_item_shifted_to_the_next_page_is_yielded_once(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(page(4, 3, total=4), page(3, 2, total=5), page(1, total=5), page(total=5))
    assert read(client) == ["a-4", "a-3", "a-2", "a-1"]


def test_a_page_without_new_items_is_the_last(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(page(1, 2, total=9))
    assert read(client) == ["a-1", "a-2"]
    assert len(fake_api.requests) == 2


def test_a_provider_with_smaller_pages_is_read_to_its_total(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(page(1, 2, total=3), page(3, total=3))
    assert read(client, page_size=100) == ["a-1", "a-2", "a-3"]


def test_pages_are_loaded_as_needed(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(page(1, 2, total=9), page(3, 4, total=9))
    assert [each.id for each in islice(client.appointments.list(page_size=2), 2)] == ["a-1", "a-2"]
    assert len(fake_api.requests) == 1


def test_users_are_read_by_offset(fake_api: FakeApi, client: Meetergo) -> None:
    full = [{"id": f"u-{number}"} for number in range(100)]
    fake_api.respond_with({"users": full, "total": 101}, {"users": [{"id": "u-100"}], "total": 101})
    assert len(list(client.users.list())) == 101
    assert [request.query["offset"] for request in fake_api.requests] == [["0"], ["100"]]


def test_a_bare_array_that_ignores_the_offset_ends_too(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with([{"id": f"u-{number}"} for number in range(150)])
    assert len(list(client.users.list())) == 150
    assert len(fake_api.requests) == 2


def test_one_malformed_item_does_not_hide_the_others(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(
        {"appointments": [{"id": "a-1"}, {"no": "id"}, None, {"id": "a-2", "start": "odd"}], "total": 4}
    )
    assert read(client, page_size=100) == ["a-1", "a-2"]


@pytest.mark.parametrize(
    "odd", [{}, {"appointments": None}, {"appointments": [{"no": "id"}]}, FakeResponse(200), "text"]
)
def test_a_response_without_a_list_is_not_an_empty_list(odd: Any, fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(odd)
    with pytest.raises(BadResponse):
        read(client)
