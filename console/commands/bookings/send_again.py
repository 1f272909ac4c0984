"""`bookings send-again`: send bookings once more to a platform that lost its data."""

from datetime import UTC, datetime

import click

from console.cli.audit import audited
from console.cli.confirm import YES_OPTION, confirm_or_exit
from console.cli.filters import TimestampParam
from console.cli.progress import RateParam
from console.cli.stores import worker_services
from operations.text import CONSOLE_COMMAND, count


@click.command("send-again")
@click.option(
    "--since",
    type=TimestampParam(),
    required=True,
    metavar="TIME",
    help="Bookings that changed at or after this: 2h (ago), or a date and time.",
)
@click.option("--until", type=TimestampParam(), metavar="TIME", help="Bookings that changed before this.")
@click.option(
    "--rate", type=RateParam(), metavar="RATE", default="20/s", show_default=True, help="Maximum rate: 50/s, or 100/m."
)
@click.option("--dry-run", is_flag=True, help="Show what would be sent, and do nothing.")
@YES_OPTION
@audited
def send_again(
    since: datetime, until: datetime | None, rate: float, dry_run: bool, yes: bool, by: str, reason: str
) -> None:
    """Send each booking that changed since a time once more, as it is now, by signed POST alone.

    It is a run: the scheduler does it in the background, at the rate. Mails and chats get nothing.
    """
    from operations.runs.send_again import plan_bookings
    from operations.runs.store import NewRun, start_run

    now = datetime.now(UTC)
    with worker_services() as services:
        with services.database.read_only() as session:
            plan = plan_bookings(session, services.outbox.planner, since, until, now)
        click.echo(f"{count(len(plan.booking_ids), 'booking')} changed.")
        click.echo(f"{count(plan.messages, 'message')} would be sent about the first {plan.previewed}.")
        if plan.booking_ids and not plan.messages:
            click.echo("Only endpoints of signed POSTs get them: see NOTIFY_DEFAULT and platform_users.channels.")
        if dry_run or not plan.booking_ids:
            return
        if not yes:
            confirm_or_exit(f"\nSend {count(len(plan.booking_ids), 'booking')} again?")
        selection = {"since": since.isoformat(), **({"until": until.isoformat()} if until else {})}
        new = NewRun("send_again", "bookings", by, reason, plan.to_run(), selection, per_second=rate)
        with services.database.transaction() as session:
            run = start_run(session, new, now)
    click.echo(f"Run {run.id} has started. How far it is: {CONSOLE_COMMAND} runs show {run.id}")
