"""Personal pages: the style of a host's public page."""

from typing import Annotated, Any

from pydantic import Field

from devtools.sandbox.http.schemas import Flag, Input
from devtools.sandbox.state.company import Company, Record

Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]

DEFAULT_PAGE: Record = {
    "useCustomColors": False,
    "primaryColor": None,
    "secondaryColor": None,
    "headerImage": None,
    "description": "",
    "showAllMeetingTypes": True,
    "meetingTypeOrder": [],
    "onlineProfiles": {},
}


class PersonalPageChange(Input):
    """The body of `PATCH /v4/personal-page/me`. Colours apply only with `useCustomColors`."""

    use_custom_colors: Flag | None = None
    primary_color: Colour | None = None
    secondary_color: Colour | None = None
    header_image: str | None = None
    description: str | None = None
    show_all_meeting_types: Flag | None = None
    meeting_type_order: list[str] | None = None
    online_profiles: dict[str, Any] | None = None


def of(company: Company, user_id: str) -> Record:
    """Return a host's page."""
    if user_id not in company.personal_pages:
        page_id = company.new_id("personal-page", user_id)
        company.personal_pages[user_id] = {"id": page_id, "userId": user_id, **DEFAULT_PAGE}
    return company.personal_pages[user_id]


def change(record: Record, wanted: PersonalPageChange) -> None:
    """Apply the request's changes; null removes the image."""
    record |= wanted.given_fields()
    if "header_image" in wanted.model_fields_set:
        record["headerImage"] = wanted.header_image
