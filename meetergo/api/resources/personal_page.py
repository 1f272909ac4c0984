"""The personal page: how a user's public page looks."""

from typing import Any, TypedDict, Unpack

from meetergo.api.errors import InvalidCall
from meetergo.api.schemas import Page
from meetergo.api.session import Resource

PATH = "/v4/personal-page/me"

NAMES = {
    "use_custom_colors": "useCustomColors",
    "primary_color": "primaryColor",
    "secondary_color": "secondaryColor",
    "header_image": "headerImage",
    "description": "description",
    "show_all_meeting_types": "showAllMeetingTypes",
    "meeting_type_order": "meetingTypeOrder",
    "online_profiles": "onlineProfiles",
}


class PageStyle(TypedDict, total=False):
    """Options: colours such as `#0066cc`, a URL or None as header image, meeting type ids in display order."""

    use_custom_colors: bool
    primary_color: str
    secondary_color: str
    header_image: str | None
    description: str
    show_all_meeting_types: bool
    meeting_type_order: list[str]
    online_profiles: dict[str, Any]


class PersonalPage(Resource):
    """API calls for the acting user's page."""

    def get(self) -> Page:
        """Return the current page."""
        return self._session.get(PATH).one(Page)

    def update(self, **changes: Unpack[PageStyle]) -> Page:
        """Change only the given options. A colour also enables custom colours, or it would have no effect.

        Raises:
            InvalidCall: nothing to change, or an unknown option.
        """
        if not changes or set(changes) - set(NAMES):
            raise InvalidCall(f"what can be changed is: {', '.join(NAMES)}")
        body = {NAMES[name]: value for name, value in changes.items()}
        if "primary_color" in changes or "secondary_color" in changes:
            body.setdefault("useCustomColors", True)
        response = self._session.patch(PATH, body)
        return self.get() if response.is_empty else response.one(Page)
