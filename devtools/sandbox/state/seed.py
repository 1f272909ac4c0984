"""Seed data: hosts and meeting types, so that there is something to book."""

from devtools.sandbox.resources import meeting_types
from devtools.sandbox.server import Sandbox

GROUP_SEATS = 5


def seed(meetergo: Sandbox) -> None:
    """Add a host with a single and a group meeting type, if the company has no host yet."""
    if any(user["userType"] == "api-platform" for user in meetergo.users.values()):
        return
    first = {"name": "Discovery Call", "duration": 30, "channel": "zoom"}
    host_id = meetergo.actions.add_host("host@example.com", meetingType=first)["userId"]
    info = {"name": "Group Session", "description": "", "duration": 60, "channel": "zoom"}
    meeting_types.create(meetergo.company, host_id, {"meetingInfo": info, "spots": GROUP_SEATS, "timeslotInterval": 60})
