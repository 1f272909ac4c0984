"""Start of a process: a bad setting ends it with a one-sentence message."""

import sys
from collections.abc import Callable
from typing import TypeVar

from meetergo.api.errors import InvalidCall
from runtime.settings import EXIT_BAD_SETTING, shorten
from worker.channels import UnusableChannel
from worker.channels.mail.branding import UnusableLook
from worker.hook import UnusableHook
from worker.maintenance.alerts import UnusableAlert

Opened = TypeVar("Opened")


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
