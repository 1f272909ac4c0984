"""`send`: delivers samples, or a file, as meetergo would: over real HTTP, signed as configured."""

import json
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import click
import urllib3

from console.cli.progress import EXIT_INTERRUPTED, Rate, Throttle, progress, stop_on_interrupt
from console.settings import ConsoleSettings
from devtools.send import samples
from devtools.send.client import Sender, SendResponse
from devtools.send.load import LoadResult, LoadRun
from devtools.send.order import MANY, MIX, Repeats, SendPlan


@click.command()
@click.argument("event", type=click.Choice([*samples.EVENTS, MIX]), required=False)
@click.option("--booking", metavar="ID", help="Which booking it is about (a new one).")
@click.option("--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Send this body instead.")
@click.option("--url", metavar="ADDRESS", help="Where to (the address that `endpoint` prints).")
@click.option("--count", type=click.IntRange(1), metavar="N", help=f"How many, besides repeats (1; of a mix {MANY}).")
@click.option("--rate", type=Rate(), metavar="RATE", help="No faster than 50/s, or 100/m.")
@click.option("--concurrency", type=click.IntRange(1, 256), default=1, metavar="N", help="So many at once (1).")
@click.option("--shuffle", is_flag=True, help="In random order; without an EVENT, of a mix.")
@click.option("--duplicate", type=Repeats(), default=0, metavar="N", help="Repeat 10 of them, or a share: 0.2.")
@click.option("--seed", type=int, metavar="N", help="Makes the same mix and order again.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def send(
    event: str | None,
    url: str | None,
    rate: float | None,
    concurrency: int,
    seed: int | None,
    as_json: bool,
    **wishes: Any,
) -> None:
    """Deliver samples, a mix of them, or a file, over real HTTP. Exit 1 if one was not answered with 200."""
    if event is None and wishes["file"] is None and wishes["shuffle"]:
        event = MIX
    if (event is None) == (wishes["file"] is None):
        raise click.UsageError("name an EVENT or a --file, one of the two")
    if wishes["booking"] and (event == MIX or wishes["file"]):
        raise click.UsageError("--booking goes with one EVENT: a mix has bookings of its own, a file says its own")
    settings = ConsoleSettings.load()
    order = SendPlan(event=event, seed=Random().randrange(1_000_000) if seed is None else seed, **wishes)  # noqa: S311
    sender = Sender(url or settings.address, settings.verifier())
    if order.is_single and not as_json:
        _send_one(order, sender, settings)
    else:
        _send_many(order, sender, rate, concurrency, as_json)


def _send_one(order: SendPlan, sender: Sender, settings: ConsoleSettings) -> None:
    booking = order.booking or f"sample-{uuid.uuid4().hex[:8]}"
    [body] = SendPlan(**{**vars(order), "booking": booking}).bodies(datetime.now(UTC))
    try:
        answer = sender.send(body)
    except urllib3.exceptions.HTTPError:
        raise click.ClickException(f"nobody answers at {settings.receiver_url}: is it running? (make run)") from None
    click.echo(f"{answer.status} in {answer.milliseconds:.0f} ms: {_said(answer)}")
    if answer.status != 200:
        sys.exit(1)
    if order.event == "booking_created":
        click.echo(f"Move or cancel it: python -m console send booking_rescheduled --booking {booking}")


def _send_many(order: SendPlan, sender: Sender, rate: float | None, concurrency: int, as_json: bool) -> None:
    bodies, started = order.bodies(datetime.now(UTC)), time.monotonic()
    with stop_on_interrupt() as stop, sender.lines(concurrency) as deliver, _bar(len(bodies), as_json) as advance:
        result = LoadRun(deliver, Throttle(rate, stop.wait), stop, advance).fire(bodies, concurrency)
        was_stopped = stop.is_set()
    show = _print_json if as_json else _print
    show(result, time.monotonic() - started, bodies, order)
    if was_stopped:
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(0 if result.is_good else 1)


def _bar(total: int, as_json: bool) -> AbstractContextManager[Any]:
    return nullcontext(lambda _count: None) if as_json else progress("sending", total)


def _print(result: LoadResult, seconds: float, bodies: Sequence[bytes], order: SendPlan) -> None:
    of_all = f" of {len(bodies)}" if result.sent < len(bodies) else ""
    click.echo(f"sent {result.sent}{of_all} in {seconds:.1f} s, {result.sent / seconds:.0f} a second")
    for status, count in sorted(result.statuses.items()):
        click.echo(f"  {status:<9} {count:>7}")
    if result.unanswered:
        click.echo(f"  no answer {result.unanswered:>7}")
    if result.milliseconds:
        click.echo("latency " + ", ".join(f"{name} {value:.0f} ms" for name, value in result.latencies().items()))
    if order.event == MIX or order.shuffle or order.duplicate:
        click.echo(f"the same mix and order again: --seed {order.seed}")


def _print_json(result: LoadResult, seconds: float, bodies: Sequence[bytes], order: SendPlan) -> None:
    said = {
        "planned": len(bodies),
        "sent": result.sent,
        "seconds": round(seconds, 3),
        "answers": {str(status): count for status, count in sorted(result.statuses.items())},
        "unanswered": result.unanswered,
        "latency_ms": {name: round(value, 3) for name, value in result.latencies().items()},
        "seed": order.seed,
    }
    click.echo(json.dumps(said))


def _said(answer: SendResponse) -> str:
    if "delivery" in answer.body:
        return f"{answer.body['status']} as delivery {answer.body['delivery']}"
    return str(answer.body.get("reason", "no answer that we know"))
