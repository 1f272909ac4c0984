"""A session: a transport and the acting user. The client's resources use it."""

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
        """Whether the response is a success without an object, which meetergo may send."""
        return not self.body

    def one(self, kind: type[Kind]) -> Kind:
        """Return the body as an object.

        Raises:
            BadResponse: it is not an object (`OutcomeUnknown` after a write).
        """
        if not isinstance(self.body, dict):
            raise self.bad_response("it is not an object")
        try:
            return kind.read(self.body)
        except ValidationError as error:
            fault = error.errors(include_input=False, include_url=False, include_context=False)[0]
            raise self.bad_response(f"'{'.'.join(map(str, fault['loc']))}' {fault['type']}") from None

    def many(self, kind: type[Kind], key: str, *, strict: bool = False) -> list[Kind]:
        """Return the objects in a bare array or under a key. Unreadable ones are skipped and logged.

        Args:
            kind: class of the objects.
            key: key of the list, if the body is not a bare array.
            strict: fail on an unreadable one, because the caller creates what is missing from the list.

        Raises:
            BadResponse: there is no list, or none of its items can be read; if strict, any item that cannot be read.
        """
        listed, items = self.raw_items(key), []
        for body in listed:
            try:
                items.append(kind.read(body))
            except ValidationError:
                log.warning("api.unreadable_item", request=self.request.name)
        if strict and len(items) < len(listed):
            raise self.bad_response("an item of the list is malformed")
        if listed and not items:
            raise self.bad_response("every item of the list is malformed")
        return items

    def raw_items(self, key: str) -> list[Json]:
        """Return the list that the body is or contains."""
        listed = self.body.get(key) if isinstance(self.body, dict) else self.body
        if not isinstance(listed, list):
            raise self.bad_response("it contains no list")
        return listed

    @property
    def total(self) -> int | None:
        """The total number of items of all pages, if the body has it."""
        total = self.body.get("total") if isinstance(self.body, dict) else None
        return total if isinstance(total, int) else None

    def bad_response(self, reason: str) -> ApiError:
        """Return the error for this response."""
        return bad_response(self.request, reason)


@dataclass(frozen=True)
class Session:
    """Sends requests, optionally as a given user.

    Attributes:
        transport: sends them.
        user_id: user to act as.
        local_webhooks: whether webhooks may go to private hosts.
    """

    transport: Transport
    user_id: str | None
    local_webhooks: bool = False

    def get(self, path: str, query: dict[str, Any] | None = None, **options: Any) -> Response:
        """Send a GET request. `options` are further arguments of `Request`."""
        return self._send(Request("GET", path, query or {}, user_id=self.user_id, **options))

    def post(self, path: str, body: Json, **options: Any) -> Response:
        """Create an object or run an action."""
        return self._send(Request("POST", path, body=body, user_id=self.user_id, **options))

    def patch(self, path: str, body: Json, **options: Any) -> Response:
        """Update the fields in the body."""
        return self._send(Request("PATCH", path, body=body, user_id=self.user_id, **options))

    def delete(self, path: str, **options: Any) -> Response:
        """Delete an object."""
        return self._send(Request("DELETE", path, user_id=self.user_id, **options))

    def pages(self, kind: type[Kind], key: str, size: int, page: Callable[[int], Response]) -> Iterator[Kind]:
        """Yield all items of a list, each once, loading pages as needed.

        Pages shift when a booking is made meanwhile. So paging ends at the total, if there is one, or at a short
        page, and in any case at a page without new items.

        Args:
            kind: class of the items.
            key: key of the list, if the body is not a bare array.
            size: page size.
            page: loads the page with a number, from 0.
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
    """Return the fields without those that are None."""
    return {name: value for name, value in fields.items() if value is not None}
