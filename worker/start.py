"""Start of a process: a bad setting ends it with a one-sentence message."""

import sys
from collections.abc import Callable
from typing import TypeVar

from meetergo.api.errors import InvalidCall
from runtime.settings import EXIT_BAD_SETTING, shorten
from worker.channels import UnusableChannel
from worker.channels.mail.branding import UnusableLook
from worker.hook_source import UnusableHook, shadowed
from worker.maintenance.alerts import UnusableAlert
from worker.services import Services, build_services
from worker.settings import WorkerSettings

Opened = TypeVar("Opened")


def open_services(settings: WorkerSettings) -> Services:
    """Build the services, or exit if a setting cannot be used; print what shadows the platform's code."""
    if settings.platform_hook:
        for sentence in shadowed(settings.platform_hook, settings.platform_folders):
            print(sentence, file=sys.stderr)
    return exit_on_bad_setting(lambda: build_services(settings))


def exit_on_bad_setting(build: Callable[[], Opened]) -> Opened:
    """Return what `build` opens, or exit if a setting cannot be used."""
    try:
        return build()
    except UnusableChannel as error:
        print(f"NOTIFY_DEFAULT: {error} (see .env.example).", file=sys.stderr)
    except UnusableLook as error:
        print(f"{shorten(str(error))} (see .env.example).", file=sys.stderr)
    except UnusableAlert as error:
        print(f"ALERT_CHANNELS: {error} (see .env.example).", file=sys.stderr)
    except UnusableHook as error:
        print(f"{error} (see .env.example).", file=sys.stderr)
    except InvalidCall as error:
        print(f"MEETERGO_API_USER: {error} (see .env.example).", file=sys.stderr)
    raise SystemExit(EXIT_BAD_SETTING)
