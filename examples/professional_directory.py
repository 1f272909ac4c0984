"""A directory of lawyers, each of whom can be booked: the complete example of meetergo's white-label recipe.

Try it on the stand-in: put the two settings that it prints into .env, or into the environment.

    make sandbox
    .venv/bin/python -m examples.professional_directory

It may be run again: who is there is not made twice.
"""

from dataclasses import dataclass

from meetergo.api import FirstMeetingTypeOptions, Hours, Meetergo, embed_code
from runtime.api_settings import ApiSettings

TIMEZONE = "Europe/Berlin"
CHANNEL = "phone"
OFFICE = {day: [("09:00", "18:00")] for day in ("monday", "tuesday", "wednesday", "thursday")}
OFFICE["friday"] = [("09:00", "17:00")]

MORE_MEETING_TYPES = {"Telefonische Beratung": 15, "Ausführliche Beratung": 60, "Mandatsgespräch": 45}
"""Name -> minutes."""


@dataclass(frozen=True)
class Lawyer:
    """Who joins the directory; `slug` becomes part of the booking address."""

    email: str
    first_name: str
    last_name: str
    slug: str


class LawyerDirectory:
    """Makes lawyers bookable.

    Args:
        meetergo: has a Platform key, and acts as an admin of the company.
    """

    def __init__(self, meetergo: Meetergo) -> None:
        self._meetergo = meetergo

    def onboard(self, lawyer: Lawyer) -> str | None:
        """Gives a lawyer a user with four meeting types.

        Returns:
            The booking address. meetergo tells it when it makes a user, and never again: store it.
        """
        known = self._meetergo.users.find(lawyer.email)
        if known:
            user_id, booking_url = known.id, None
        else:
            made = self._meetergo.users.create(
                lawyer.email,
                lawyer.first_name,
                lawyer.last_name,
                TIMEZONE,
                hours=Hours("Business Hours", TIMEZONE, OFFICE),
                meeting_type=FirstMeetingTypeOptions(
                    "Erstberatung", 30, slug=f"{lawyer.slug}-erstberatung", channel=CHANNEL
                ),
            )
            user_id, booking_url = made.id, made.booking_url
        self._add_meeting_types(user_id)
        return booking_url

    def _add_meeting_types(self, user_id: str) -> None:
        """They belong to whom the call acts as."""
        as_lawyer = self._meetergo.as_user(user_id)
        names = {known.name for known in as_lawyer.meeting_types.list()}
        for name, minutes in MORE_MEETING_TYPES.items():
            if name not in names:
                as_lawyer.meeting_types.create(name, minutes, channel=CHANNEL)


def main() -> None:
    """Onboards one lawyer, and prints what belongs on the lawyer's page."""
    lawyer = Lawyer("lawyer@example.com", "The", "Lawyer", "the-lawyer")
    settings = ApiSettings.load()
    with settings.api_client(None) as meetergo:
        admin = meetergo.as_user(settings.meetergo_api_user or meetergo.users.me().id)
        booking_url = LawyerDirectory(admin).onboard(lawyer)
    if booking_url:
        print(embed_code(booking_url, title=f"Termin buchen bei {lawyer.first_name} {lawyer.last_name}"))
    else:
        print("The lawyer is there already, with all meeting types.")


if __name__ == "__main__":
    main()
