"""`python -m dashboard`: serve the operators' web page with Granian on DASHBOARD_HOST and DASHBOARD_PORT."""

import structlog
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server import Server

from dashboard.settings import DashboardSettings
from receiver.process import STOP_TIMEOUT
from runtime import logs
from runtime.settings import check_port_free
from runtime.tracing import switch as tracing
from worker.services import build_services
from worker.start import exit_on_bad_setting

log = structlog.get_logger()


def main() -> None:
    """Check the settings, then serve: a missing one is one error message, not a traceback per process."""
    settings = DashboardSettings.load()
    check_port_free("DASHBOARD_PORT", settings.dashboard_host, settings.dashboard_port)
    tracing.check()
    logs.configure()
    exit_on_bad_setting(lambda: build_services(settings)).database.close()
    log.info("dashboard.listening", host=settings.dashboard_host, port=settings.dashboard_port)
    Server(
        "dashboard.rsgi:app",
        address=settings.dashboard_host,
        port=settings.dashboard_port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        workers=1,
        respawn_failed_workers=True,
        workers_kill_timeout=int(STOP_TIMEOUT.total_seconds()),
        log_level=LogLevels.error,
        log_access=False,  # an access log would hold login links and what people searched for
    ).serve()


if __name__ == "__main__":
    main()
