"""Seed data: hosts and meeting types, so that there is something to book."""

from devtools.sandbox.resources import meeting_types
from devtools.sandbox.server import CompanyAccount

GROUP_SEATS = 5


def seed(account: CompanyAccount) -> None:
    """Add a host with a single and a group meeting type, if the company has no host yet."""
    if any(user["userType"] == "api-platform" for user in account.company.users.values()):
        return
    first = {"name": "Discovery Call", "duration": 30, "channel": "zoom"}
    number = account.company.number
    address = "host@example.com" if number == 1 else f"host-{number}@example.com"
    host_id = account.actions.add_host(address, meetingType=first)["userId"]
    info = {"name": "Group Session", "description": "", "duration": 60, "channel": "zoom"}
    meeting_types.create(account.company, host_id, {"meetingInfo": info, "spots": GROUP_SEATS, "timeslotInterval": 60})
