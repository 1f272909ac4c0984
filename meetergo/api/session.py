"""A session: a transport, and the user that its requests act as. The client's resources use it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

import structlog
from pydantic import ValidationError

from meetergo.api.errors import ApiError
from meetergo.api.request import Request
from meetergo.api.responses import Json
from meetergo.api.schemas import Schema
from meetergo.api.transport import Transport, bad_response

PAGE_SIZE = 100
"""The most that meetergo gives at once."""

Kind = TypeVar("Kind", bound=Schema)

log = structlog.get_logger()


@dataclass(frozen=True)
class Response:
    """The response to a request.

    Attributes:
        request: the request that was sent.
        body: JSON, or None if it was empty.
    """

    request: Request
    body: Json = field(repr=False)

    @property
    def is_empty(self) -> bool:
        """Whether meetergo said yes and no more, as it may."""
        return not self.body

    def one(self, kind: type[Kind]) -> Kind:
        """The object that the body is.

        Raises:
            BadResponse: it is not (`OutcomeUnknown` after a write).
        """
        try:
            return kind.read(self.body)
        except ValidationError as error:
            fault = error.errors(include_input=False, include_url=False, include_context=False)[0]
            raise self.bad_response(f"'{'.'.join(map(str, fault['loc']))}' {fault['type']}") from None

    def many(self, kind: type[Kind], key: str, *, strict: bool = False) -> list[Kind]:
        """The objects in a bare array, or under a key. One that cannot be read is left out, and logged.

        Args:
            kind: of the objects.
            key: of the list, in answers that are no bare array.
            strict: leave none out: something is made if it is not in the list.

        Raises:
            BadResponse: there is no list, or nothing in it can be read; if strict, one item cannot.
        """
        listed, items = self.raw_items(key), []
        for body in listed:
            try:
                items.append(kind.read(body))
            except ValidationError:
                log.warning("api.unreadable_item", request=self.request.name)
        if strict and len(items) < len(listed):
            raise self.bad_response("an item of the list has not what it should")
        if listed and not items:
            raise self.bad_response("no item of the list has what it should")
        return items

    def raw_items(self, key: str) -> list[Json]:
        """The list that the body is or holds."""
        listed = self.body.get(key) if isinstance(self.body, dict) else self.body
        if not isinstance(listed, list):
            raise self.bad_response("there is no list in it")
        return listed

    @property
    def total(self) -> int | None:
        """How many items all pages have, where the body says so."""
        total = self.body.get("total") if isinstance(self.body, dict) else None
        return total if isinstance(total, int) else None

    def bad_response(self, why: str) -> ApiError:
        """The error that this response is."""
        return bad_response(self.request, why)


@dataclass(frozen=True)
class Session:
    """Sends requests, optionally as a given user.

    Attributes:
        transport: sends them.
        user_id: whom they act as.
        local_webhooks: whether webhooks may go to private hosts.
    """

    transport: Transport
    user_id: str | None
    local_webhooks: bool = False

    def get(self, path: str, query: dict[str, Any] | None = None, **options: Any) -> Response:
        """Reads. `options` are more arguments of `Request`."""
        return self._send(Request("GET", path, query or {}, user_id=self.user_id, **options))

    def post(self, path: str, body: Json, **options: Any) -> Response:
        """Create something or run an action."""
        return self._send(Request("POST", path, body=body, user_id=self.user_id, **options))

    def patch(self, path: str, body: Json, **options: Any) -> Response:
        """Update the fields in the body."""
        return self._send(Request("PATCH", path, body=body, user_id=self.user_id, **options))

    def delete(self, path: str, **options: Any) -> Response:
        """Delete something."""
        return self._send(Request("DELETE", path, user_id=self.user_id, **options))

    def pages(self, kind: type[Kind], key: str, size: int, page: Callable[[int], Response]) -> Iterator[Kind]:
        """Yield all items of a list, each once, loading pages as needed.

        Pages shift when a booking is made meanwhile. So paging ends at the total, where there is one, or at a short
        page, and in any case at a page without new items.

        Args:
            kind: of the items.
            key: of the list, in answers that are no bare array.
            size: how many items a full page has.
            page: asks for the page of a number, from 0.
        """
        seen: set[str] = set()
        for number in count():
            response = page(number)
            new = [item for item in response.many(kind, key) if item.id not in seen]
            yield from new
            seen.update(item.id for item in new)
            if not new:
                if response.total is not None and response.raw_items(key):
                    log.warning("api.page_repeated", request=response.request.name, page=number)
                return
            if len(seen) >= response.total if response.total is not None else len(response.raw_items(key)) < size:
                return

    def _send(self, request: Request) -> Response:
        return Response(request, self.transport.send(request))


class Resource:
    """Base class of the client's resources."""

    def __init__(self, session: Session) -> None:
        self._session = session


def without_none(**fields: Any) -> dict[str, Any]:
    """The fields that have a value: None means not to send one."""
    return {name: value for name, value in fields.items() if value is not None}
