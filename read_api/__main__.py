"""`python -m read_api`: serve the read API with Granian on API_HOST and API_PORT."""

import structlog

from read_api.settings import ReadApiSettings
from runtime import logs
from runtime.http.wsgi import serve
from runtime.settings import check_port_free
from runtime.tracing import switch as tracing

log = structlog.get_logger()


def main() -> None:
    """Check the settings, then serve: a missing one gives one error message, not a traceback per process."""
    settings = ReadApiSettings.load()
    tracing.check()
    check_port_free("API_PORT", settings.api_host, settings.api_port)
    logs.configure()
    log.info("api.listening", host=settings.api_host, port=settings.api_port)
    serve("read_api.rsgi:app", settings.api_host, settings.api_port)


if __name__ == "__main__":
    main()
