"""A FastAPI platform: its own tables, the mapping of meetergo-inbox's views, and the endpoint that is posted to."""

import os
from datetime import datetime
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from sqlalchemy import JSON, DateTime, Engine, MetaData, String, create_engine, make_url, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from standardwebhooks import Webhook, WebhookVerificationError


class Base(DeclarativeBase):
    """What the platform owns: the target_metadata of its Alembic."""


class InboxBase(DeclarativeBase):
    """What meetergo-inbox owns: not in target_metadata, so that --autogenerate leaves it alone."""

    metadata = MetaData(schema="meetergo_inbox")


class Lawyer(Base):
    """A lawyer of the platform. The id, as text, is `external_id` at meetergo-inbox."""

    __tablename__ = "lawyers"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    next_meeting: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class ProcessedEvent(Base):
    """The webhook-id of an event that was processed: a repeat is ignored."""

    __tablename__ = "processed_events"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)


class Booking(InboxBase):
    """A booking, to read."""

    __tablename__ = "bookings_v1"

    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    revision: Mapped[int]
    status: Mapped[str] = mapped_column(String(9))
    external_id: Mapped[str | None] = mapped_column(String(255))
    starts_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    ends_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    meeting_name: Mapped[str | None]
    attendees: Mapped[list[dict[str, Any]]] = mapped_column(JSON)


class BookingHost(InboxBase):
    """A host of a booking, co-hosts included. One who is not mapped has no `external_id`."""

    __tablename__ = "booking_hosts_v1"

    booking_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    external_id: Mapped[str | None] = mapped_column(String(255), primary_key=True)
    is_owner: Mapped[bool]


def open_engine() -> Engine:
    """Opens the DATABASE_URL of meetergo-inbox, with the driver that is installed. SQLite has no schemas."""
    url = make_url(os.environ["DATABASE_URL"])
    if url.drivername == "sqlite":
        return create_engine(url, execution_options={"schema_translate_map": {"meetergo_inbox": None}})
    return create_engine(url.set(drivername="postgresql+psycopg"))


SIGNING_SECRET = os.environ["NOTIFY_SIGNING_SECRET"].split(",")[-1].strip()  # the newest of a list
engine = open_engine()
app = FastAPI()


@app.get("/lawyers/{lawyer_id}/bookings")
def bookings(lawyer_id: int) -> list[dict[str, Any]]:
    """The bookings that a lawyer hosts, alone or with others."""
    hosted = select(BookingHost.booking_id).where(BookingHost.external_id == str(lawyer_id))
    columns = (Booking.id, Booking.status, Booking.starts_at, Booking.meeting_name, Booking.attendees)
    with Session(engine) as session:
        rows = session.execute(select(*columns).where(Booking.id.in_(hosted)).order_by(Booking.starts_at))
        return [dict(row) for row in rows.mappings()]


@app.post("/hooks/bookings", status_code=204)
async def event(request: Request) -> Response:
    """Verifies the signature over the raw body, ignores repeats, and acts in one transaction."""
    try:
        content = Webhook(SIGNING_SECRET).verify(await request.body(), dict(request.headers))
    except WebhookVerificationError:
        raise HTTPException(401, "the signature is not valid") from None  # is sent again for an hour
    data, message_id = content["data"], request.headers["webhook-id"]
    with Session(engine) as session, session.begin():
        if session.get(ProcessedEvent, message_id) is None and data["host"] and "booking" in data:
            session.add(ProcessedEvent(id=message_id))
            booking, lawyer_id = data["booking"], int(data["host"]["external_id"])
            starts_at = booking["starts_at"] if booking["status"] == "confirmed" else None
            next_meeting = starts_at and datetime.fromisoformat(starts_at)
            session.execute(update(Lawyer).where(Lawyer.id == lawyer_id).values(next_meeting=next_meeting))
    return Response(status_code=204)
