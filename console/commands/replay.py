"""`replay`: handles deliveries again, after it has shown what that would do."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import click
from redis.exceptions import RedisError
from rich.console import Console
from sqlalchemy import Select, select
from sqlalchemy.exc import SQLAlchemyError

from console.cli.audit import audited, operators_office
from console.cli.confirm import confirm_or_exit
from console.cli.filters import filters, search_for
from console.cli.progress import EXIT_INTERRUPTED, Rate, Throttle, progress, stop_on_interrupt
from console.render import replay_preview
from console.render.text import count
from models.delivery import Delivery
from operations.lookup import delivery_ids
from operations.replay.dry_run import dry_run
from operations.replay.report import DryRunReport
from operations.replay.run import ReplayRun
from operations.replay.selection import SelectedDelivery, Selection, select_deliveries
from operations.replay.service import ReplayService
from runtime.redis import heartbeat
from worker.services import Services


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--dead", is_flag=True, help="All that are dead; with filters, the dead ones among those.")
@filters
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The oldest N of them only.")
@click.option("--notify", is_flag=True, help="Tell once more what they told; otherwise nobody is told twice.")
@click.option("--superseded", is_flag=True, help="Tell all of it, also what is not the latest any more.")
@click.option("--dry-run", is_flag=True, help="Show what would happen, and do nothing.")
@click.option("--yes", is_flag=True, help="Do not confirm_or_exit.")
@click.option("--rate", type=Rate(), metavar="RATE", help="No faster than 50/s, or 100/m.")
@click.option("--wait", is_flag=True, help="Wait until they are done or dead; exit 1 if some are dead.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; needs --yes or --dry-run.")
@audited
def replay(
    ids: tuple[str, ...],
    dead: bool,
    limit: int | None,
    notify: bool,
    superseded: bool,
    dry_run: bool,
    yes: bool,
    rate: float | None,
    wait: bool,
    as_json: bool,
    by: str,
    reason: str,
    **chosen: Any,
) -> None:
    """Handle deliveries again, such as dead ones whose cause is repaired.

    Pending ones that wait for another try are tried now, and keep their attempts.

    Name them by ID (the first characters will do), by filters, or with --dead. What would happen is shown first.
    """
    must_be_meant(ids, dead, chosen)
    if as_json and not (yes or dry_run):
        raise click.UsageError("--json cannot confirm_or_exit: add --yes or --dry-run")
    console, exit_code = Console(quiet=as_json, highlight=False), 0
    with operators_office() as office:
        repair = ReplayService(office, by, reason, tells_again=notify, superseded=superseded)
        selection = _selection(office, ids, chosen | ({"status": "dead"} if dead else {}), limit)
        outlook = _rehearsed(repair, selection.chosen)
        _show(console, selection, outlook)
        found = {"waiting": selection.waiting, "erased": selection.erased, **replay_preview.as_json(outlook)}
        if selection.chosen and dry_run:
            console.print("\nThis was a dry run: nothing is changed. To do it, leave --dry-run out and add --reason.")
        elif selection.chosen:
            if not yes:
                confirm_or_exit(f"\nReplay {_deliveries(len(selection.chosen))}?")
            done, exit_code = _carry_out(console, repair, selection.chosen, rate, wait)
            found |= done
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False, indent=2))
    raise SystemExit(exit_code)


def must_be_meant(ids: Sequence[Any], dead: bool, chosen: dict[str, Any]) -> None:
    """Nothing said is never everything.

    Raises:
        click.UsageError: nothing is said, or too much.
    """
    is_narrowed = any(value is not None for value in chosen.values())
    if not ids and not dead and not is_narrowed:
        raise click.UsageError("say which: an ID, filters such as --booking or --since, or --dead")
    if ids and (dead or is_narrowed):
        raise click.UsageError("name IDs, or use --dead and filters, not both")
    if dead and chosen["status"] not in (None, "dead"):
        raise click.UsageError(f"--dead and --status {chosen['status']} exclude each other")


def _selection(office: Services, ids: Sequence[str], chosen: dict[str, Any], limit: int | None) -> Selection:
    query: Select[Any] = search_for(**chosen).deliveries()
    if ids:
        with office.database.reading() as session:
            query = select(Delivery).where(Delivery.id.in_(delivery_ids(session, ids)))
    return select_deliveries(office.inbox, query, limit)


def _rehearsed(repair: ReplayService, chosen: Sequence[SelectedDelivery]) -> DryRunReport:
    try:
        with progress("Rehearsing", len(chosen)) as advance:
            return dry_run(repair, chosen, advance)
    except KeyboardInterrupt:
        click.echo("Stopped. Nothing was replayed.", err=True)
        raise SystemExit(EXIT_INTERRUPTED) from None


def _show(console: Console, selection: Selection, outlook: DryRunReport) -> None:
    if selection.waiting:
        console.print(f"{_deliveries(selection.waiting)} left alone: pending and due, so a worker handles them anyway.")
    if selection.erased:
        console.print(f"{_deliveries(selection.erased)} left out: the body was erased, so there is nothing to handle.")
    if selection.chosen:
        replay_preview.show(console, outlook)
    else:
        console.print("There is nothing to replay.")


def _carry_out(
    console: Console, repair: ReplayService, chosen: Sequence[SelectedDelivery], rate: float | None, wait: bool
) -> tuple[dict[str, Any], int]:
    """Replays, waits if that is wanted, and says what came of it; with the exit code."""
    ends: Counter[str] = Counter()
    with stop_on_interrupt() as stop:
        bulk = ReplayRun(repair, Throttle(rate, stop.wait), stop)
        try:
            with progress("Replaying", len(chosen)) as advance:
                bulk.replay(chosen, advance)
        except SQLAlchemyError:
            click.echo(f"{len(bulk.replayed)} of {_deliveries(len(chosen))} were replayed before this.", err=True)
            raise
        _say_replayed(console, bulk, len(chosen))
        if wait and not stop.is_set():
            with progress("Waiting for the workers", len(bulk.replayed)) as advance:
                ends = bulk.settle(advance)
            console.print(_rest(ends))
    exit_code = EXIT_INTERRUPTED if stop.is_set() else int(bool(ends["dead"]))
    return {**bulk.as_json(), "interrupted": stop.is_set(), "ends": ends}, exit_code


def _say_replayed(console: Console, bulk: ReplayRun, wanted: int) -> None:
    number = len(bulk.replayed)
    if bulk.stop.is_set():
        again = "Run it again without --notify" if bulk.repair.tells_again else "Run the same command again"
        console.print(f"Stopped: {number} of {_deliveries(wanted)} replayed. {again} for the rest.")
    else:
        console.print(f"{_deliveries(number)} replayed: pending again, and a worker takes them next.")
    if bulk.told_again:
        console.print(f"{count(bulk.told_again, 'notification')} to go out once more.")
    if bulk.left:
        console.print(f"{_deliveries(bulk.left)} left alone: somebody else replayed them meanwhile.")
    if bulk.heard and number and not _somebody_works(bulk.repair.office):
        console.print("But no worker works at the inbox; they wait for one: python -m worker")
    if not bulk.heard:
        console.print("Redis does not answer, so no worker heard of it: the schedule wakes them when it is back.")


def _somebody_works(office: Services) -> bool:
    try:
        return bool(heartbeat.living_workers(office.bell.queue("inbox")))
    except RedisError:
        return False


def _rest(ends: Counter[str]) -> str:
    parts = ", ".join(f"{number} {status}" for status, number in ends.most_common())
    advice = "; see `deliveries list --status dead`" if ends["dead"] else ""
    return f"Now {parts or 'nothing waits'}{advice}."


def _deliveries(number: int) -> str:
    return count(number, "delivery", "deliveries")
