"""`python -m dashboard`: serve the operators' web page with Granian on DASHBOARD_HOST and DASHBOARD_PORT."""

import structlog

from dashboard.settings import DashboardSettings
from runtime import logs
from runtime.http.wsgi import serve
from runtime.settings import check_port_free
from runtime.tracing import switch as tracing
from worker.services import build_services
from worker.start import exit_on_bad_setting

log = structlog.get_logger()


def main() -> None:
    """Check the settings, then serve: a missing one gives one error message, not a traceback per process."""
    settings = DashboardSettings.load()
    check_port_free("DASHBOARD_PORT", settings.dashboard_host, settings.dashboard_port)
    tracing.check()
    logs.configure()
    exit_on_bad_setting(lambda: build_services(settings)).database.close()
    log.info("dashboard.listening", host=settings.dashboard_host, port=settings.dashboard_port)
    serve("dashboard.rsgi:app", settings.dashboard_host, settings.dashboard_port)


if __name__ == "__main__":
    main()
