"""`send`: deliver samples or a file as meetergo would, over HTTP, signed as configured."""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import click

from console.app import EXIT_INTERRUPTED
from console.cli.progress import RateParam, progress_bar, stop_on_interrupt
from console.cli.types import CallersPath
from devtools.send import samples
from devtools.send.plan import DEFAULT_MIX_SIZE, MIX, RepeatsParam, SendPlan

if TYPE_CHECKING:
    from devtools.send.client import Sender, SendResponse
    from devtools.send.load import LoadResult


@click.command()
@click.argument("event", metavar="[EVENT]", type=click.Choice([*samples.EVENTS, MIX]), required=False)
@click.option("--booking", metavar="ID", help="The booking's id (default: a new one).")
@click.option("--file", type=CallersPath(exists=True, dir_okay=False, path_type=Path), help="Send this body instead.")
@click.option("--url", metavar="ADDRESS", help="Endpoint to post to (default: the address that `webhook url` prints).")
@click.option(
    "--count",
    type=click.IntRange(1),
    metavar="N",
    help=f"Number of deliveries, excluding repeats (default 1; {DEFAULT_MIX_SIZE} for mix).",
)
@click.option("--rate", type=RateParam(), metavar="RATE", help="Maximum rate: 50/s, or 100/m.")
@click.option(
    "--concurrency",
    type=click.IntRange(1, 256),
    default=1,
    metavar="N",
    help="Number of concurrent requests (default 1).",
)
@click.option("--shuffle", is_flag=True, help="Random order; without an EVENT, sends a mix.")
@click.option("--duplicate", type=RepeatsParam(), default=0, metavar="N", help="Number of repeats, or a share: 0.2.")
@click.option("--seed", type=int, metavar="N", help="Reproduces a mix and its order.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def send(
    event: str | None,
    url: str | None,
    rate: float | None,
    concurrency: int,
    seed: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Deliver samples, a mix of them, or a file, over real HTTP. Exits 1 if a response is not 200.

    EVENT is booking_created, booking_rescheduled, booking_cancelled, new_employee or mix.
    """
    from devtools.send.client import Sender
    from operations.settings import ConsoleSettings

    if event is None and options["file"] is None and options["shuffle"]:
        event = MIX
    if (event is None) == (options["file"] is None):
        raise click.UsageError("name either an EVENT or a --file")
    if options["booking"] and (event == MIX or options["file"]):
        raise click.UsageError("--booking needs a single EVENT: a mix and a file name their own bookings")
    if url and not url.startswith(("http://", "https://")):
        raise click.UsageError("--url needs a whole address: it begins with http:// or https://")
    settings = ConsoleSettings.load()
    plan = SendPlan(event=event, seed=Random().randrange(1_000_000) if seed is None else seed, **options)  # noqa: S311
    sender = Sender(url or settings.address, settings.verifier())
    if plan.is_single and not as_json:
        _send_one(plan, sender)
    else:
        _send_many(plan, sender, rate, concurrency, as_json)


def _send_one(plan: SendPlan, sender: Sender) -> None:
    from urllib3.exceptions import HTTPError, SSLError

    booking = plan.booking or f"sample-{uuid.uuid4().hex[:8]}"
    [body] = SendPlan(**{**vars(plan), "booking": booking}).bodies(datetime.now(UTC))
    try:
        response = sender.send(body)
    except SSLError:
        raise click.ClickException(
            f"the certificate of {sender.server} is not trusted: put the path of its authority's certificate into "
            "SSL_CERT_FILE"
        ) from None
    except HTTPError:
        raise click.ClickException(f"nobody answers at {sender.server}: is it running? (make run)") from None
    click.echo(f"{response.status} in {response.milliseconds:.0f} ms: {_describe(response)}")
    if response.status != 200:
        sys.exit(1)
    if plan.event == "booking_created":
        click.echo(f"Move or cancel it: bin/inbox send booking_rescheduled --booking {booking}")


def _send_many(plan: SendPlan, sender: Sender, rate: float | None, concurrency: int, as_json: bool) -> None:
    from devtools.send.load import LoadRun
    from operations.replay.throttle import Throttle

    bodies, started = plan.bodies(datetime.now(UTC)), time.monotonic()
    with (
        stop_on_interrupt() as stop,
        sender.open_connections(concurrency) as deliver,
        _bar(len(bodies), as_json) as advance,
    ):
        result = LoadRun(deliver, Throttle(rate, stop.wait), stop, advance).run(bodies, concurrency)
        was_stopped = stop.is_set()
    show = _print_json if as_json else _print
    show(result, time.monotonic() - started, bodies, plan)
    if was_stopped:
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(0 if result.is_good else 1)


def _bar(total: int, as_json: bool) -> AbstractContextManager[Any]:
    return nullcontext(lambda _count: None) if as_json else progress_bar("sending", total)


def _print(result: LoadResult, seconds: float, bodies: Sequence[bytes], plan: SendPlan) -> None:
    of_total = f" of {len(bodies)}" if result.sent < len(bodies) else ""
    click.echo(f"sent {result.sent}{of_total} in {seconds:.1f} s, {result.sent / seconds:.0f} a second")
    for status, count in sorted(result.statuses.items()):
        click.echo(f"  {status:<9} {count:>7}")
    if result.unanswered:
        click.echo(f"  no answer {result.unanswered:>7}")
    if result.milliseconds:
        click.echo("latency " + ", ".join(f"{name} {value:.0f} ms" for name, value in result.latencies().items()))
    if plan.event == MIX or plan.shuffle or plan.duplicate:
        click.echo(f"the same mix and order again: --seed {plan.seed}")


def _print_json(result: LoadResult, seconds: float, bodies: Sequence[bytes], plan: SendPlan) -> None:
    summary = {
        "planned": len(bodies),
        "sent": result.sent,
        "seconds": round(seconds, 3),
        "answers": {str(status): count for status, count in sorted(result.statuses.items())},
        "unanswered": result.unanswered,
        "latency_ms": {name: round(value, 3) for name, value in result.latencies().items()},
        "seed": plan.seed,
    }
    click.echo(json.dumps(summary))


def _describe(response: SendResponse) -> str:
    if "delivery" in response.body:
        return f"{response.body['status']} as delivery {response.body['delivery']}"
    if response.status == HTTPStatus.NOT_FOUND:
        return "the receiver there does not know this address: is it this installation's, with the same WEBHOOK_KEYS?"
    return str(response.body.get("reason", "no valid response"))
