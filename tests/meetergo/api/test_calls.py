"""Every call of the recipe: what it sends, and how it parses the recorded responses."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from meetergo.api import AwaitingConfirmation, Booked, FirstMeetingTypeOptions, Guest, Hours, Meetergo
from meetergo.api.errors import (
    AlreadyExists,
    BadResponse,
    InvalidCall,
    LimitReached,
    NotFound,
    OutcomeUnknown,
    PartiallyApplied,
    SlotTaken,
)
from meetergo.api.schedule import DAYS
from meetergo.api.schemas import Slot
from meetergo.wire import MAX_GUESTS
from tests.meetergo.api.conftest import OpenClient
from tests.meetergo.api.fake_api import DISCONNECTS, FakeApi, FakeResponse, recorded

GUEST = Guest("guest@example.com", "The Guest")
NINE = datetime(2026, 10, 20, 9, tzinfo=timezone(timedelta(hours=2)))
OFFICE = {"monday": [("09:00", "12:00"), ("13:00", "17:00")], "tuesday": [("09:00", "17:00")]}


# --- users


def test_a_user_is_created_with_hours_and_a_first_meeting_type(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(FakeResponse(201, recorded("user_created")))
    user = client.users.create(
        "host@example.com",
        "The",
        "Host",
        "Europe/Berlin",
        hours=Hours("Business Hours", "Europe/Berlin", OFFICE),
        meeting_type=FirstMeetingTypeOptions("Consultation", 30, slug="the-consultation"),
    )
    assert user.id == "550e8400-0000-4000-8000-000000000001"
    assert (user.availability_id or "").startswith("660e")
    assert (user.meeting_type_id or "").startswith("770e")
    assert user.booking_url == "https://book.customdomain.com/the-host/30min-meeting"
    body = fake_api.last.body
    assert (fake_api.last.line, body["email"], body["givenName"]) == ("POST /v4/user", "host@example.com", "The")
    assert body["meetingType"] == {"name": "Consultation", "duration": 30, "slug": "the-consultation"}
    assert list(body["availability"]["schedule"]) == list(DAYS)
    assert body["availability"]["schedule"]["tuesday"] == {
        "enabled": True,
        "hours": [{"start": "09:00", "end": "17:00"}],
    }
    assert body["availability"]["schedule"]["sunday"] == {"enabled": False, "hours": []}


def test_options_that_are_not_given_are_not_sent(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(FakeResponse(201, recorded("user_created")))
    client.users.create("host@example.com", "The", "Host", "Europe/Berlin")
    assert set(fake_api.last.body) == {"email", "givenName", "familyName", "timezone"}


@pytest.mark.parametrize("is_bare", [False, True])
def test_users_are_listed_as_an_object_or_a_bare_array(is_bare: bool, fake_api: FakeApi, client: Meetergo) -> None:
    listed = recorded("users")
    fake_api.respond_with(listed["users"] if is_bare else listed)
    users = list(client.users.list())
    assert [(user.id, user.given_name, user.user_type) for user in users] == [
        ("admin-1", "The", "standard"),
        ("host-uuid-123", "The", "api-platform"),
    ]
    assert users[1].raw["anything"] == "new"
    assert fake_api.last.query == {"limit": ["100"], "offset": ["0"]}
    assert len(fake_api.requests) == 1


def test_a_user_is_found_by_e_mail_without_case(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(recorded("users"))
    found = client.users.find(" host@EXAMPLE.com")
    assert found
    assert found.id == "host-uuid-123"
    assert client.users.find("nobody@example.com") is None
    assert "@" not in "".join(str(request.query) for request in fake_api.requests)


def test_a_user_is_updated(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(recorded("users")["users"][1])
    assert client.users.update("host-uuid-123", slug="the-host").slug == "the-host"
    assert (fake_api.last.line, fake_api.last.body) == ("PATCH /v4/user/host-uuid-123", {"slug": "the-host"})
    for wrong in ({}, {"slug": "four"}):
        with pytest.raises(InvalidCall):
            client.users.update("host-uuid-123", **wrong)
    assert len(fake_api.requests) == 1


def test_after_an_empty_response_to_an_update_the_user_is_read(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(FakeResponse(204), recorded("users"))
    assert client.users.update("host-uuid-123", given_name="The").slug == "the-host"
    fake_api.respond_with(FakeResponse(200), recorded("meeting_type"))
    assert client.meeting_types.update("mt-uuid-456", slug="discovery-call").slug == "discovery-call"
    fake_api.respond_with(FakeResponse(200), recorded("webhooks"))
    assert client.webhooks.update(1492, description="x").id == "1492"
    fake_api.respond_with(FakeResponse(204), recorded("page"))
    assert client.personal_page.update(description="x").id == "page-1"
    fake_api.respond_with(FakeResponse(200), recorded("appointment"))
    assert client.appointments.cancel("appt-uuid-12345").id == "appt-uuid-12345"


def test_a_duplicate_e_mail_already_exists(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(FakeResponse(409, {"message": "Conflict"}))
    with pytest.raises(AlreadyExists):
        client.users.create("host@example.com", "The", "Host", "Europe/Berlin")


# --- meeting types


def test_a_meeting_type_is_created_as_its_owner_and_read_back_with_its_slug(
    fake_api: FakeApi, client: Meetergo
) -> None:
    other = recorded("meeting_type") | {"slug": "derived-from-the-name"}
    fake_api.respond_with(FakeResponse(201, other), other, recorded("meeting_type"))
    made = client.as_user("host-uuid-123").meeting_types.create(
        "Discovery Call", 30, slug="discovery-call", metadata={"ticketId": "EVAL-12345"}
    )
    assert (made.slug, made.name, made.duration, made.info.channel) == ("discovery-call", "Discovery Call", 30, "phone")
    assert (made.user_id, made.queue_id, made.metadata) == ("host-uuid-123", None, {"ticketId": "EVAL-12345"})
    path = "/v4/meeting-type/mt-uuid-456"
    assert fake_api.lines == ["POST /v4/meeting-type", f"PATCH {path}", f"GET {path}"]
    create, patch, _ = fake_api.requests
    assert create.body == {
        "meetingInfo": {"name": "Discovery Call", "duration": 30, "description": ""},
        "metadata": {"ticketId": "EVAL-12345"},
    }
    assert patch.body == {"slug": "discovery-call"}
    assert {request.acts_as for request in fake_api.requests} == {"host-uuid-123"}


def test_a_taken_slug_does_not_hide_the_created_object(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(FakeResponse(201, recorded("meeting_type")), FakeResponse(409, {"message": "slug exists"}))
    with pytest.raises(PartiallyApplied) as raised:
        client.meeting_types.create("Discovery Call", 30, slug="taken")
    assert raised.value.created_id == "mt-uuid-456"
    assert isinstance(raised.value.__cause__, AlreadyExists)
    assert not raised.value.is_transient


def test_meeting_types_are_listed_in_either_form(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with([recorded("meeting_type"), recorded("meeting_type_flat")])
    listed = client.meeting_types.list()
    assert [(each.name, each.duration) for each in listed] == [("Discovery Call", 30), ("Consultation", 45)]
    assert listed[1].booking_url == "https://cal.meetergo.com/the-host/consultation"


def test_settings_of_the_meeting_always_go_with_a_description(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(recorded("meeting_type"))
    client.meeting_types.update("mt-uuid-456", duration=45, buffer_before=15, spots=2)
    assert fake_api.lines == ["GET /v4/meeting-type/mt-uuid-456", "PATCH /v4/meeting-type/mt-uuid-456"]
    info = {"duration": 45, "bufferBefore": 15, "description": "What is it about?"}
    assert fake_api.last.body == {"spots": 2, "meetingInfo": info}


def test_a_description_in_several_languages_is_left_alone(fake_api: FakeApi, client: Meetergo) -> None:
    known = recorded("meeting_type")
    known["meetingInfo"]["description"] = {"en": "What is it about?", "de": "Worum geht es?"}
    fake_api.respond_with(known)
    client.meeting_types.update("mt-uuid-456", duration=45)
    assert fake_api.last.body == {"meetingInfo": {"duration": 45}}


def test_only_known_settings_are_sent(fake_api: FakeApi, client: Meetergo) -> None:
    for wrong in ({}, {"duratoin": 45}):
        with pytest.raises(InvalidCall, match="buffer_before"):
            client.meeting_types.update("mt-uuid-456", **wrong)  # type: ignore[typeddict-item]
        with pytest.raises(InvalidCall, match="primary_color"):
            client.personal_page.update(**wrong)  # type: ignore[typeddict-item]
    assert fake_api.requests == []


# --- availability and slots


@pytest.mark.parametrize("shape", ["availability", "availability_old"])
def test_hours_are_read_in_either_form(shape: str, fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(recorded(shape))
    hours = client.availability.get("av-1")
    assert (hours.id, hours.timezone, hours.schedule) == ("av-1", "Europe/Berlin", OFFICE)


def test_hours_are_written_for_all_seven_days_and_read_back(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(FakeResponse(204), recorded("availability"))
    assert client.availability.update("av-1", week=OFFICE).schedule == OFFICE
    assert fake_api.lines == ["PATCH /v4/availability/av-1", "GET /v4/availability/av-1"]
    schedule = fake_api.requests[0].body["schedule"]
    assert {day: hours["enabled"] for day, hours in schedule.items()} == {day: day in OFFICE for day in DAYS}


@pytest.mark.parametrize(
    "week",
    [
        {"montag": []},
        {"monday": [("9:00", "17:00")]},
        {"monday": [("17:00", "09:00")]},
        {"monday": [("25:00", "26:00")]},
    ],
)
def test_an_invalid_day_or_time_is_not_sent(week: Any, fake_api: FakeApi, client: Meetergo) -> None:
    with pytest.raises(InvalidCall):
        client.availability.update("av-1", week=week)
    with pytest.raises(InvalidCall):
        client.availability.update("av-1")
    assert fake_api.requests == []


def test_slots_are_ordered_and_unique(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(recorded("slots"))
    slots = client.availability.slots("mt-uuid-456", date(2026, 10, 20), date(2026, 10, 21), host_ids=["h-1", "h-2"])
    assert [slot.start for slot in slots] == [
        datetime(2026, 10, 20, 6, tzinfo=UTC),
        datetime(2026, 10, 20, 8, tzinfo=UTC),
        datetime(2026, 10, 21, 6, tzinfo=UTC),
    ]
    assert [slot.spots_left for slot in slots] == [None, 1, None]
    assert fake_api.last.query == {
        "meetingTypeId": ["mt-uuid-456"],
        "start": ["2026-10-20"],
        "end": ["2026-10-21"],
        "hostIds": ["h-1", "h-2"],
    }


@pytest.mark.parametrize(
    ("owner", "named"),
    [({"userId": "h-1"}, {"hostIds": ["h-1"]}), ({"userId": "h-1", "queueId": "q-1"}, {"queueId": ["q-1"]})],
)
def test_the_host_is_read_from_the_meeting_type_unless_given(
    owner: dict[str, str], named: dict[str, list[str]], fake_api: FakeApi, client: Meetergo
) -> None:
    fake_api.respond_with({"id": "mt-1", **owner}, recorded("slots"))
    client.availability.slots("mt-1", date(2026, 10, 20), date(2026, 10, 20))
    assert fake_api.lines == ["GET /v4/meeting-type/mt-1", "GET /v4/booking-availability"]
    assert {name: fake_api.last.query.get(name) for name in named} == named
    assert fake_api.last.query["end"] == ["2026-10-21"], "one day ends with the next"


def test_slots_are_never_requested_without_host_or_queue(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with({"id": "mt-1"})
    with pytest.raises(InvalidCall, match="name a host"):
        client.availability.slots("mt-1", date(2026, 10, 20), date(2026, 10, 21))
    assert fake_api.lines == ["GET /v4/meeting-type/mt-1"]


def test_a_moment_keeps_its_offset_in_a_query(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with({"dates": []})
    assert client.availability.slots("mt-1", NINE, NINE + timedelta(hours=1), queue_id="q-1", refresh=True) == []
    assert fake_api.last.query["start"] == ["2026-10-20T09:00:00+02:00"]
    assert fake_api.last.query["refreshCache"] == ["true"]
    with pytest.raises(InvalidCall, match="timezone"):
        client.availability.slots("mt-1", NINE.replace(tzinfo=None), NINE, queue_id="q-1")
    with pytest.raises(InvalidCall, match="earlier"):
        client.availability.slots("mt-1", NINE, NINE - timedelta(hours=1), queue_id="q-1")


@pytest.mark.parametrize("odd", [{}, {"slots": []}, {"dates": [{"spots": [{}]}]}, {"dates": ["x"]}, []])
def test_a_malformed_list_of_slots_is_an_error(odd: Any, fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(odd)
    with pytest.raises(BadResponse):
        client.availability.slots("mt-1", NINE, NINE, queue_id="q-1")


# --- bookings


def test_a_created_booking(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(FakeResponse(201, recorded("booked")))
    outcome = client.bookings.create("mt-uuid-456", Slot(NINE).start, GUEST, host_ids=["h-1"])
    assert outcome == Booked("appt-uuid-12345", "secret-token-xyz")
    assert "secret" not in repr(outcome)
    assert "guest" not in repr(GUEST).lower().replace("guest(", "")
    assert fake_api.last.line == "POST /v4/booking"
    assert fake_api.last.body == {
        "meetingTypeId": "mt-uuid-456",
        "start": "2026-10-20T09:00:00+02:00",
        "hostIds": ["h-1"],
        "attendee": {"email": "guest@example.com", "fullname": "The Guest", "receiveReminders": True, "notes": {}},
    }


@pytest.mark.parametrize(
    ("response", "outcome"),
    [
        (recorded("waiting_opt_in"), AwaitingConfirmation("double_opt_in", "prov-1")),
        (recorded("waiting_opt_in") | {"bookingType": "DoubleOptIn"}, AwaitingConfirmation("double_opt_in", "prov-1")),
        (recorded("waiting_confirmation"), AwaitingConfirmation("host_confirmation", "prov-2")),
        ({"provisionalBookingId": 3, "bookingType": "new"}, AwaitingConfirmation("unknown", "3")),
    ],
)
def test_a_pending_booking(response: Any, outcome: AwaitingConfirmation, fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(FakeResponse(201, response))
    assert client.bookings.create("mt-uuid-456", NINE, GUEST, queue_id="q-1") == outcome


@pytest.mark.parametrize(
    "refusal", [FakeResponse(400, {"errorCode": "slot-occupied"}), FakeResponse(409, {"message": "Conflict"})]
)
def test_a_taken_slot(refusal: FakeResponse, fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(refusal)
    with pytest.raises(SlotTaken):
        client.bookings.create("mt-uuid-456", NINE, GUEST, host_ids=["h-1"])
    with pytest.raises(SlotTaken):
        client.appointments.reschedule("appt-1", NINE)
    assert len(fake_api.requests) == 2


@pytest.mark.parametrize("response", [FakeResponse(201, {}), FakeResponse(200), FakeResponse(201, [1]), DISCONNECTS])
def test_a_booking_without_a_response_has_an_unknown_outcome(
    response: FakeResponse, fake_api: FakeApi, client: Meetergo
) -> None:
    fake_api.respond_with(response)
    with pytest.raises(OutcomeUnknown):
        client.bookings.create("mt-uuid-456", NINE, GUEST, host_ids=["h-1"])
    assert len(fake_api.requests) == 1


@pytest.mark.parametrize(
    ("guest", "start", "whom"),
    [
        (Guest("guest@example.com", " "), NINE, ["h-1"]),
        (Guest("", "The Guest"), NINE, ["h-1"]),
        (Guest("guest@example.com", "The Guest", companions=["x@example.com"] * 6), NINE, ["h-1"]),
        (GUEST, NINE.replace(tzinfo=None), ["h-1"]),
        (GUEST, NINE, []),
    ],
)
def test_an_invalid_booking_is_not_sent(
    guest: Guest, start: datetime, whom: list[str], fake_api: FakeApi, client: Meetergo
) -> None:
    with pytest.raises(InvalidCall):
        client.bookings.create("mt-uuid-456", start, guest, host_ids=whom)
    assert fake_api.requests == []


# --- appointments


def test_an_appointment_keeps_the_raw_response(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(recorded("appointment"))
    one = client.appointments.get("appt-uuid-12345")
    assert one.raw == recorded("appointment")
    assert (one.id, one.is_cancelled, one.company_id) == ("appt-uuid-12345", False, "company-uuid-789")
    assert (one.start, one.end) == (datetime(2024, 1, 15, 8, tzinfo=UTC), datetime(2024, 1, 15, 8, 30, tzinfo=UTC))
    assert one.created_at == one.updated_at == datetime(2024, 1, 14, 15, 30, tzinfo=UTC)
    assert (one.attendee_ids, one.host_ids) == (["att-uuid-789", "att-uuid-790"], ["host-uuid-123"])
    assert f"{one} {one!r}" == "Appointment(id='appt-uuid-12345') Appointment(id='appt-uuid-12345')"


@pytest.mark.parametrize(
    ("changes", "cancelled"),
    [
        ({"isCancelled": True}, True),
        ({"cancel": {"actionAt": "2024-01-14T16:00:00Z"}}, True),
        ({"cancel": {"cancelledAt": "2024-01-14T16:00:00Z"}}, True),
        ({"cancel": {"reason": "x"}}, False),
        ({"cancel": None, "isCancelled": None}, False),
    ],
)
def test_an_appointment_is_cancelled_by_a_flag_or_a_time(
    changes: dict[str, Any], cancelled: bool, fake_api: FakeApi, client: Meetergo
) -> None:
    fake_api.respond_with(recorded("appointment") | changes)
    assert client.appointments.get("appt-uuid-12345").is_cancelled is cancelled


def test_an_unknown_appointment(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(FakeResponse(404, {"message": "Not Found"}))
    with pytest.raises(NotFound):
        client.appointments.get("appt-1")


def test_appointments_are_requested_by_window_meeting_type_user_and_order(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with({"appointments": [], "total": 0})
    listed = client.appointments.list(
        start=NINE, end=NINE, meeting_type_id="mt-1", of_user="h-1", sort_by="appointment.createdAt", newest_first=True
    )
    assert list(listed) == []
    assert (fake_api.last.line, fake_api.last.query) == (
        "GET /v4/appointment/paginated",
        {
            "page": ["0"],
            "pageSize": ["100"],
            "start": ["2026-10-20T09:00:00+02:00"],
            "end": ["2026-10-20T09:00:00+02:00"],
            "meetingTypeId": ["mt-1"],
            "userId": ["h-1"],
            "sortBy": ["appointment.createdAt"],
            "sortDirection": ["DESC"],
        },
    )


def test_a_cancel_returns_whether_the_meeting_still_takes_place(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(FakeResponse(201, recorded("appointment") | {"isCancelled": True}))
    assert client.appointments.cancel("appt-uuid-12345", reason="Schedule conflict", everybody=True).is_cancelled
    assert fake_api.last.line == "POST /v4/appointment/appt-uuid-12345/cancel"
    assert fake_api.last.body == {"reason": "Schedule conflict", "cancelAll": True}
    fake_api.respond_with(FakeResponse(201, recorded("appointment")))
    assert not client.appointments.cancel("appt-uuid-12345", attendee_id="att-uuid-790").is_cancelled
    assert fake_api.last.body == {"attendeeId": "att-uuid-790"}
    for wrong in ({"reason": "x" * 501}, {"attendee_id": "a", "everybody": True}):
        with pytest.raises(InvalidCall):
            client.appointments.cancel("appt-uuid-12345", **wrong)  # type: ignore[arg-type]


def test_a_move_keeps_the_id_and_returns_the_former_time(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(FakeResponse(201, recorded("rescheduled")))
    moved = client.appointments.reschedule("appt-uuid-12345", datetime(2024, 1, 16, 13, tzinfo=UTC))
    assert (moved.appointment.id, moved.appointment.start) == (
        "appt-uuid-12345",
        datetime(2024, 1, 16, 13, tzinfo=UTC),
    )
    assert moved.previous_start == datetime(2024, 1, 15, 8, tzinfo=UTC)
    assert fake_api.last.line == "POST /v4/appointment/appt-uuid-12345/reschedule"
    assert fake_api.last.body == {"start": "2024-01-16T13:00:00+00:00"}
    fake_api.respond_with(FakeResponse(201), recorded("appointment"))
    assert client.appointments.reschedule("appt-uuid-12345", NINE).previous_start is None
    fake_api.respond_with(recorded("appointment"))
    assert client.appointments.reschedule("appt-uuid-12345", NINE).appointment.raw == recorded("appointment")


def test_a_time_without_a_zone_is_not_sent(fake_api: FakeApi, client: Meetergo) -> None:
    with pytest.raises(InvalidCall, match="needs a timezone"):
        client.appointments.reschedule("appt-1", NINE.replace(tzinfo=None))
    assert fake_api.requests == []


def test_too_many_guests_of_an_appointment_say_nothing(fake_api: FakeApi, client: Meetergo) -> None:
    guests = [{"id": f"guest-{number}", "email": f"{number}@example.com"} for number in range(MAX_GUESTS + 1)]
    fake_api.respond_with({**recorded("appointment"), "attendees": guests})
    assert client.appointments.get("appt-uuid-12345").attendees is None


def test_pending_bookings_are_listed(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(recorded("provisional"))
    assert [(each.id, each.type) for each in client.appointments.provisional()] == [("prov-1", "doubleOptIn")]
    assert fake_api.lines == ["GET /v4/provisional-booking/paginated"]


# --- branding and templates


def test_a_colour_enables_custom_colours(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(recorded("page"))
    page = client.as_user("host-1").personal_page.update(primary_color="#0066cc", header_image=None)
    assert (page.primary_color, page.use_custom_colors) == ("#0066cc", True)
    assert fake_api.last.body == {"primaryColor": "#0066cc", "headerImage": None, "useCustomColors": True}
    assert (fake_api.last.line, fake_api.last.acts_as) == ("PATCH /v4/personal-page/me", "host-1")
    client.personal_page.update(description="x")
    assert fake_api.last.body == {"description": "x"}
    assert client.personal_page.get().description == "Book a consultation"


def test_a_template_is_created(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(FakeResponse(201, recorded("template")))
    template = client.templates.create("Initial Consultation", 30)
    assert (template.id, template.info.name) == ("tmpl-1", "Initial Consultation")
    assert fake_api.last.line == "POST /v4/meeting-type-template/create"
    assert fake_api.last.body == {
        "meetingInfo": {"name": "Initial Consultation", "duration": 30, "description": ""},
        "templateType": "individual",
    }


BEFORE, AFTER = [recorded("meeting_type")], [recorded("meeting_type"), recorded("meeting_type_flat")]


@pytest.mark.parametrize("response", [FakeResponse(201), FakeResponse(201, b"ok"), DISCONNECTS, FakeResponse(502)])
def test_an_assigned_template_returns_the_users_new_meeting_types(
    response: FakeResponse, fake_api: FakeApi, client: Meetergo
) -> None:
    fake_api.respond_with(BEFORE, response, AFTER)
    assert [each.id for each in client.templates.assign("tmpl-1", "host-1")] == ["mt-uuid-457"]
    assert [request.acts_as for request in fake_api.requests] == ["host-1", "admin-1", "host-1"]
    assert fake_api.lines[1] == "POST /v4/meeting-type-template/assign/tmpl-1"
    assert fake_api.requests[1].body == {"userId": "host-1"}


def test_an_assignment_without_a_visible_result_has_an_unknown_outcome(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(BEFORE, DISCONNECTS, BEFORE)
    with pytest.raises(OutcomeUnknown):
        client.templates.assign("tmpl-1", "host-1")
    assert len(fake_api.requests) == 3


# --- webhooks

HOOK = "https://bookings.example.com/webhooks/meetergo/default.token"


def test_webhook_ids_are_text_whatever_meetergo_sends(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(recorded("webhooks"))
    hooks = client.webhooks.list()
    assert [hook.id for hook in hooks] == ["1492", "webhook-uuid-123"]
    assert hooks[0].event_types == ["booking_created", "booking_cancelled"]
    assert hooks[1].event_types == []
    assert "token" not in f"{hooks}"
    assert fake_api.lines == ["GET /webhooks"]


def test_a_webhook_is_created_changed_and_deleted(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(FakeResponse(201, recorded("webhooks")[0]))
    assert client.webhooks.create(HOOK, ["booking_created"], "ours").id == "1492"
    assert fake_api.last.body == {"endpoint": HOOK, "eventTypes": ["booking_created"], "description": "ours"}
    fake_api.respond_with(recorded("webhooks")[0])
    client.webhooks.update("1492", event_types=["booking_cancelled"])
    assert (fake_api.last.line, fake_api.last.body) == (
        "PATCH /webhooks/1492",
        {"eventTypes": ["booking_cancelled"]},
    )
    fake_api.respond_with(FakeResponse(204))
    assert client.webhooks.delete(1492)
    assert fake_api.last.line == "DELETE /webhooks/1492"
    fake_api.respond_with(FakeResponse(404, {"message": "Not Found"}))
    assert not client.webhooks.delete("1492")


def test_the_seventh_webhook_exceeds_the_limit(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(FakeResponse(406, {"message": "Limit reached"}))
    with pytest.raises(LimitReached, match="remove one"):
        client.webhooks.create(HOOK, ["booking_created"])


LOCAL = ["http://127.0.0.1:8000/hook", "http://localhost/hook", "https://10.0.0.7/hook", "http://sandbox:9000/hook"]
UNREACHABLE = [
    *LOCAL,
    "http://bookings.example.com/hook",
    "https://169.254.169.254/hook",
    "https://[::1]/hook",
    "https://[::ffff:10.0.0.1]/hook",
    "https://127.1/hook",
    "https://0x7f000001/hook",
    "https://2130706433/hook",
    "https://printer.local/hook",
    "https://intranet/hook",
]
MALFORMED = [
    "",
    "x",
    "ftp://example.com/",
    "https://u:p@example.com/",
    "https://example.com/#x",
    "https:///hook",
    "\x00",
]


@pytest.mark.parametrize("endpoint", UNREACHABLE + MALFORMED)
def test_an_unreachable_or_private_address_is_not_registered(
    endpoint: str, fake_api: FakeApi, client: Meetergo
) -> None:
    for call in (
        lambda: client.webhooks.create(endpoint, ["booking_created"]),
        lambda: client.webhooks.update(1, endpoint=endpoint),
    ):
        with pytest.raises(InvalidCall) as refusal:
            call()
        assert "hook" not in str(refusal.value).replace("webhook", "")
    assert fake_api.requests == []


def test_the_sandbox_may_post_to_this_machine(fake_api: FakeApi, open_client: OpenClient) -> None:
    fake_api.respond_with(FakeResponse(201, recorded("webhooks")[0]))
    for endpoint in LOCAL:
        open_client(local_webhooks=True).webhooks.create(endpoint, ["booking_created"])
        open_client(local_webhooks=True).as_user("admin-2").webhooks.create(endpoint, ["booking_created"])
    for endpoint in MALFORMED:
        with pytest.raises(InvalidCall):
            open_client(local_webhooks=True).webhooks.create(endpoint, ["booking_created"])


def test_a_webhook_must_name_events(fake_api: FakeApi, client: Meetergo) -> None:
    for call in (
        lambda: client.webhooks.create(HOOK, []),
        lambda: client.webhooks.update(1, event_types=[]),
        lambda: client.webhooks.update(1),
    ):
        with pytest.raises(InvalidCall):
            call()
    assert fake_api.requests == []


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({str(number): 1 for number in range(21)}, "metadata has 21 keys, and meetergo takes 20"),
        ({"ticket": "x" * 501}, "metadata 'ticket' is longer than the 500 characters"),
    ],
)
def test_metadata_beyond_meetergos_limits_is_not_sent(
    fake_api: FakeApi, client: Meetergo, metadata: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidCall, match=said):
        client.meeting_types.create("Discovery Call", 30, channel="phone", metadata=metadata)
    assert not fake_api.requests
