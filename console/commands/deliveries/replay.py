"""`replay`: handle deliveries again, after a preview of the effect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from console.app import EXIT_INTERRUPTED
from console.cli import completion
from console.cli.audit import audited
from console.cli.confirm import DRY_RUN_NOTE, JSON_OPTION, YES_OPTION, check_can_ask, confirm_or_exit
from console.cli.filters import DEAD_OPTION, filters, require_selector, row_search
from console.cli.progress import RateParam, progress_bar, stop_on_interrupt
from console.cli.stores import worker_services
from console.render import tables
from operations.text import CONSOLE_COMMAND, count

if TYPE_CHECKING:
    from rich.console import Console

    from operations.replay.report import DryRunReport
    from operations.replay.run import ReplayRun
    from operations.replay.selection import SelectedDelivery, Selection
    from operations.replay.service import ReplayService
    from worker.services import Services


@click.command()
@click.argument("ids", nargs=-1, type=completion.DELIVERY, metavar="[ID]...")
@DEAD_OPTION
@filters
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the oldest N.")
@click.option("--notify", is_flag=True, help="Send their notifications once more; otherwise nobody is notified twice.")
@click.option("--superseded", is_flag=True, help="Also send superseded notifications.")
@click.option("--dry-run", is_flag=True, help="Show what would happen, and do nothing.")
@YES_OPTION
@click.option("--rate", type=RateParam(), metavar="RATE", help="Maximum rate: 50/s, or 100/m.")
@click.option(
    "--in-background", is_flag=True, help="Start a run that the scheduler does, and return: see `runs`. Needs --reason."
)
@click.option("--wait", is_flag=True, help="Wait until they are done or dead; exit 1 if some are dead.")
@JSON_OPTION
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
    in_background: bool,
    wait: bool,
    as_json: bool,
    by: str,
    reason: str,
    **chosen: Any,
) -> None:
    """Process deliveries again, for example dead ones whose cause is fixed.

    Pending ones that wait for a retry are tried now and keep their attempts.

    Select them by ID (a prefix is enough), by filters, or with --dead. The effect is shown first.
    """
    from console.render import replay_preview
    from operations.replay.service import ReplayService

    require_selector(ids, dead, chosen)
    check_can_ask(as_json, yes, dry_run)
    if in_background and wait:
        raise click.UsageError("--in-background does not wait: `runs show` shows its progress")
    if in_background and not dry_run and not reason.strip():
        raise click.UsageError("--in-background needs --reason TEXT: it is recorded")
    console, exit_code = tables.screen(quiet=as_json, markup=True), 0
    with worker_services() as services:
        replay_service = ReplayService(services, by, reason, resend=notify, superseded=superseded)
        selection = _selection(services, ids, chosen | ({"status": "dead"} if dead else {}), limit)
        report = _preview(replay_service, selection.chosen)
        _show(console, selection, report)
        found = {"waiting": selection.waiting, "erased": selection.erased, **replay_preview.as_json(report)}
        if selection.chosen and dry_run:
            console.print(DRY_RUN_NOTE)
        elif selection.chosen:
            if not yes:
                confirm_or_exit(f"\nReplay {_deliveries(len(selection.chosen))}?")
            if in_background:
                found |= _start_run(console, replay_service, selection.chosen, rate, chosen | {"ids": len(ids) or None})
            else:
                done, exit_code = _run_replay(console, replay_service, selection.chosen, rate, wait)
                found |= done
    if as_json:
        tables.print_json(found)
    raise SystemExit(exit_code)


def _selection(services: Services, ids: Sequence[str], chosen: dict[str, Any], limit: int | None) -> Selection:
    from models.search import RowSearch
    from operations.lookup import delivery_ids
    from operations.replay.selection import select_deliveries

    with services.database.read_only() as session:
        search = RowSearch(ids=tuple(delivery_ids(session, ids))) if ids else row_search(session, chosen)
    return select_deliveries(services.inbox, search.deliveries(), limit)


def _preview(replay_service: ReplayService, chosen: Sequence[SelectedDelivery]) -> DryRunReport:
    from operations.replay.dry_run import dry_run

    try:
        with progress_bar("Dry run", len(chosen)) as advance:
            return dry_run(replay_service, chosen, advance)
    except KeyboardInterrupt:
        click.echo("Stopped. Nothing was replayed.", err=True)
        raise SystemExit(EXIT_INTERRUPTED) from None


def _show(console: Console, selection: Selection, report: DryRunReport) -> None:
    from console.render import replay_preview

    if selection.waiting:
        console.print(
            f"{_deliveries(selection.waiting)} left alone: pending and due, so a worker processes them anyway."
        )
    if selection.erased:
        console.print(f"{_deliveries(selection.erased)} left out: the body was erased, so there is nothing to process.")
    if selection.chosen:
        replay_preview.show(console, report)
    else:
        console.print("There is nothing to replay.")


def _run_replay(
    console: Console, replay_service: ReplayService, chosen: Sequence[SelectedDelivery], rate: float | None, wait: bool
) -> tuple[dict[str, Any], int]:
    """Replay, wait if requested, and return the result with the exit code."""
    from sqlalchemy.exc import SQLAlchemyError

    from operations.replay.run import ReplayRun
    from operations.replay.throttle import Throttle

    final_statuses: Counter[str] = Counter()
    with stop_on_interrupt() as stop:
        run = ReplayRun(replay_service, Throttle(rate, stop.wait), stop)
        try:
            with progress_bar("Replaying", len(chosen)) as advance:
                run.replay(chosen, advance)
        except SQLAlchemyError:
            click.echo(f"{len(run.replayed)} of {_deliveries(len(chosen))} were replayed before this.", err=True)
            raise
        _print_result(console, run, len(chosen))
        if wait and not stop.is_set():
            with progress_bar("Waiting for the workers", len(run.replayed)) as advance:
                final_statuses = run.wait(advance)
            console.print(_describe_final(final_statuses))
    exit_code = EXIT_INTERRUPTED if stop.is_set() else int(bool(final_statuses["dead"]))
    return {**run.as_json(), "interrupted": stop.is_set(), "ends": final_statuses}, exit_code


def _start_run(
    console: Console,
    replay_service: ReplayService,
    chosen: Sequence[SelectedDelivery],
    rate: float | None,
    filters: dict[str, Any],
) -> dict[str, Any]:
    """Start a run, which the scheduler executes."""
    from operations.runs.store import NewRun, SelectedRow, start_run

    new = NewRun(
        kind="replay",
        target="deliveries",
        by=replay_service.by,
        reason=replay_service.reason,
        rows=[SelectedRow(row.id, row.booking_id, row.ended_at) for row in chosen],
        selection={name: str(value) for name, value in filters.items() if value is not None},
        resend=replay_service.resend,
        superseded=replay_service.superseded,
        per_second=rate,
    )
    with replay_service.services.database.transaction() as session:
        run = start_run(session, new, datetime.now(UTC))
    console.print(f"Run {run.id} has started. How far it is: {CONSOLE_COMMAND} runs show {run.id}")
    return {"run": run.id}


def _print_result(console: Console, run: ReplayRun, total: int) -> None:
    number = len(run.replayed)
    if run.stop.is_set():
        again = "Run it again without --notify" if run.replay_service.resend else "Run the same command again"
        console.print(f"Stopped: {number} of {_deliveries(total)} replayed. {again} for the rest.")
    else:
        console.print(f"{_deliveries(number)} replayed: pending again, and a worker takes them next.")
    if run.resent:
        console.print(f"{count(run.resent, 'notification')} to go out once more.")
    if run.skipped:
        console.print(f"{_deliveries(run.skipped)} left alone: changed meanwhile.")
    if run.queue_reached and number and not _has_workers(run.replay_service.services):
        console.print("But no worker runs for the inbox; they wait for one: python -m worker")
    if not run.queue_reached:
        console.print("Redis does not answer, so no worker was triggered: the sweep does it when it is back.")


def _has_workers(services: Services) -> bool:
    from redis.exceptions import RedisError

    from runtime.redis import heartbeat

    try:
        return bool(heartbeat.live_workers(services.job_queue.queue("inbox")))
    except RedisError:
        return False


def _describe_final(final_statuses: Counter[str]) -> str:
    parts = ", ".join(f"{number} {status}" for status, number in final_statuses.most_common())
    advice = "; see `deliveries list --status dead`" if final_statuses["dead"] else ""
    return f"Now {parts or 'nothing is pending'}{advice}."


def _deliveries(number: int) -> str:
    return count(number, "delivery", "deliveries")
