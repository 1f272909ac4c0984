"""What the routes take and return. A booking is what the views and the signed POST show of it: one contract."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from typing_extensions import TypedDict

from models.booking import Booking, BookingChange, ChangeKind
from models.platform_user import PlatformUser
from operations.filters import parse_time
from worker.channels.webhook_events import BookingState, FormerFields, Host, Id, Status, Time

MAX_PAGE = 500
MAX_WAIT_SECONDS = 30


def _moment(text: object) -> object:
    if not isinstance(text, str):
        return text
    # A `+` that is not percent-encoded arrives as a space.
    return parse_time(text.replace(" ", "+") if "T" in text else text, datetime.now(UTC))


Text = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\x00]*$")]
Moment = Annotated[datetime, BeforeValidator(_moment)]
After = Annotated[Text | None, Field(description="`next` of the page before; without it, the first page")]
Limit = Annotated[int, Field(ge=1, le=MAX_PAGE, description="rows of a page")]
Next = Annotated[str | None, Field(description="continue with `after=` this; null on the last page")]


class PageQuery(BaseModel):
    """One page of a list. A parameter that is not listed is refused: a misspelt filter would return everything."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    after: After = None
    limit: Limit = 100


class BookingsQuery(PageQuery):
    """Filters of bookings."""

    status: Annotated[
        Status | None, Field(description="a page may then be short although there are more: see `next`")
    ] = None
    host: Annotated[Text | None, Field(description="the owner's external_id")] = None
    since: Annotated[Moment | None, Field(description="starts at or after this; ISO 8601, or an age such as 7d")] = None
    until: Annotated[Moment | None, Field(description="starts before this")] = None


class ChangesQuery(PageQuery):
    """A position in the change feed."""

    after: Annotated[
        Text | None,
        Field(description="`next` of the page before; `now` for what comes from now on; without it, from the start"),
    ] = None
    wait: Annotated[
        int, Field(ge=0, le=MAX_WAIT_SECONDS, description="seconds to wait for a change if there is none")
    ] = 0


class BookingResource(BookingState):
    """A booking, with the columns of the view bookings_v1."""

    external_id: Annotated[str | None, Field(description="your id of the owner; null while no host is mapped")]
    created_at: Time
    updated_at: Time


class BookingPage(TypedDict):
    """Bookings."""

    bookings: list[BookingResource]
    next: Next


class ChangeResource(TypedDict):
    """A change, with the columns of the view booking_changes_v1 that concern a consumer, and the booking."""

    id: int
    booking_id: Id
    revision: Annotated[int, Field(ge=1, description="the booking's revision after this change")]
    kind: ChangeKind
    before: Annotated[FormerFields | None, Field(description="what changed, before; null if the booking was new")]
    after: Annotated[FormerFields, Field(description="the same fields after")]
    at: Time
    booking: Annotated[BookingResource, Field(description="as it is now, which may be newer than this change")]


class ChangePage(TypedDict):
    """Changes, in order."""

    changes: list[ChangeResource]
    next: Annotated[str, Field(description="continue with `after=` this, also if there was no change")]
    has_more: Annotated[bool, Field(description="whether there are more already")]


class HostResource(Host):
    """A host, with the columns of platform_users but the channels, which may hold secrets."""

    meetergo_user_id: str | None
    meetergo_meeting_type_id: str | None
    booking_url: str | None


class HostPage(TypedDict):
    """Hosts."""

    hosts: list[HostResource]
    next: Next


class Problem(TypedDict):
    """Why a request failed (RFC 9457)."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str


def booking_resource(booking: Booking, owner: PlatformUser | None) -> dict[str, Any]:
    """Return a BookingResource."""
    return {
        "id": booking.id,
        "account": booking.account,
        "revision": booking.revision,
        **booking.public_columns(),
        "external_id": owner.external_id if owner else None,
        "created_at": booking.created_at.isoformat(),
        "updated_at": booking.updated_at.isoformat(),
    }


def change_resource(change: BookingChange, owner: PlatformUser | None) -> dict[str, Any]:
    """Return a ChangeResource."""
    return {
        "id": change.id,
        "booking_id": change.booking_id,
        "revision": change.revision,
        "kind": change.kind,
        "before": change.before,
        "after": change.after,
        "at": change.at.isoformat(),
        "booking": booking_resource(change.booking, owner),
    }


def host_resource(host: PlatformUser) -> dict[str, Any]:
    """Return a HostResource."""
    ids = {name: getattr(host, name) for name in ("meetergo_user_id", "meetergo_meeting_type_id", "booking_url")}
    return {**host.to_dict(), **ids}
