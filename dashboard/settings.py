"""Settings of the dashboard."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from operations.settings import DashboardAddressSettings
from operations.status import StatusSettings
from receiver.settings import HEADER
from runtime.settings import CommaSeparated
from worker.settings import WorkerSettings

Network = IPv4Network | IPv6Network


def _networks(names: list[str]) -> list[str]:
    for name in names:
        try:
            ip_network(name)
        except ValueError:
            raise ValueError(f"'{name[:60]}' is not an address or a network such as 10.0.0.5 or 10.0.0.0/24") from None
    return names


def _header(name: object) -> object:
    if not isinstance(name, str) or not HEADER.fullmatch(name):
        raise ValueError("it is not a valid name of an HTTP header")
    return name


HeaderName = Annotated[str, BeforeValidator(_header)]


class DashboardSettings(WorkerSettings, StatusSettings, DashboardAddressSettings):
    """Settings of the dashboard. It plans replays as a worker would run them, so it needs a worker's settings too.

    `dashboard_proxies` are the addresses of proxies that log people in and name them in `dashboard_user_header`; their
    role is in `dashboard_role_header`, and `read` if that header is missing.
    """

    dashboard_proxies: Annotated[CommaSeparated, AfterValidator(_networks)] = Field([])
    dashboard_user_header: HeaderName = "X-Forwarded-User"
    dashboard_role_header: HeaderName = "X-Forwarded-Role"

    @property
    def trusted_networks(self) -> list[Network]:
        """The addresses of the trusted proxies."""
        return [ip_network(name) for name in self.dashboard_proxies]
