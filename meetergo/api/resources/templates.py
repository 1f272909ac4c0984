"""Templates: one meeting type for many users."""

from collections.abc import Mapping
from typing import Any, Literal

from meetergo.api.errors import OutcomeUnknown
from meetergo.api.request import identifier
from meetergo.api.resources.meeting_types import MeetingTypes
from meetergo.api.schemas import MeetingType, Template
from meetergo.api.session import Resource, Session, without_none

PATH = "/v4/meeting-type-template"


class Templates(Resource):
    """API calls for templates."""

    def create(
        self,
        name: str,
        duration: int,
        *,
        description: str = "",
        channel: str | None = None,
        spots: int | None = None,
        template_type: Literal["individual", "team"] = "individual",
        options: Mapping[str, Any] | None = None,
    ) -> Template:
        """Create a template.

        Args:
            name: shown to guests.
            duration: in minutes.
            description: shown to guests.
            channel: such as `phone` or `zoom`.
            spots: number of guests per appointment.
            template_type: for single users or for teams.
            options: `meetingOptions`, by meetergo's names.
        """
        info = without_none(name=name, description=description, duration=duration, channel=channel)
        body = without_none(meetingInfo=info, templateType=template_type, spots=spots, meetingOptions=options)
        return self._session.post(f"{PATH}/create", body).one(Template)

    def assign(self, template_id: str, user_id: str) -> list[MeetingType]:
        """Give a user a meeting type made from a template. Each call may create another one.

        Neither body nor response of this call is documented: the body is that of meetergo's recipe, and the result
        is read from the user's meeting types, before and after. So a Platform key is needed.

        Returns:
            The meeting types that the user has now and had not before; none, if meetergo made none.

        Raises:
            OutcomeUnknown: it is not known whether one was made, and none is to be seen yet.
        """
        path, unknown_outcome = f"{PATH}/assign/{identifier(template_id, 'template')}", None
        user_meeting_types = MeetingTypes(Session(self._session.transport, identifier(user_id, "user")))
        before = {known.id for known in user_meeting_types.list()}
        try:
            self._session.post(path, {"userId": user_id})
        except OutcomeUnknown as error:
            unknown_outcome = error
        new = [found for found in user_meeting_types.list() if found.id not in before]
        if unknown_outcome and not new:
            raise unknown_outcome
        return new
