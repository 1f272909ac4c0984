"""`adopt-queue`: move webhooks from another queue in Redis to this installation's."""

import click

from console.cli.confirm import YES_OPTION, confirm_or_exit
from console.render.tables import as_json, print_json
from operations.text import count


@click.command("adopt-queue")
@click.argument("name", required=False, metavar="[QUEUE]")
@click.option("--all", "everything", is_flag=True, help="Also webhooks accepted for a database with another name.")
@YES_OPTION
@as_json
def adopt_queue(name: str | None, everything: bool, yes: bool, as_json: bool) -> None:
    """Store webhooks of a QUEUE that no worker takes from it; without QUEUE, list such queues.

    They were accepted while the database was down, by an older version, or with another REDIS_PREFIX or DATABASE_URL.
    Adopt only a queue of this platform: they become its bookings.
    """
    from runtime.queue import JobQueue
    from runtime.redis.other_queues import adopt, orphaned_queues
    from runtime.settings import StoreSettings

    job_queue = JobQueue(StoreSettings.load().redis())
    if name is None:
        _list(orphaned_queues(job_queue.redis, job_queue.queue("inbox").name), as_json)
        return
    if not yes:
        confirm_or_exit(f"Store the webhooks of {name} in this database?")
    done = adopt(job_queue, name, foreign=everything)
    job_queue.trigger_drain("inbox")
    if as_json:
        print_json({"queue": name, "taken": done.taken, "left": done.left})
    elif done.taken or done.left:
        click.echo(f"This installation's queue has taken {count(done.taken, 'webhook')} of {name}.")
    else:
        click.echo(f"No webhook waits in {name}: without QUEUE, all queues that hold some are listed.")
    if done.left:
        click.echo(f"{done.left} were accepted for another database and stay there; --all takes them too.", err=True)
        raise SystemExit(1)


def _list(found: dict[str, int], as_json: bool) -> None:
    if as_json:
        print_json({"queues": found})
        return
    for queue, waiting in found.items():
        click.echo(f"{queue} holds {count(waiting, 'webhook')} that no worker stores.")
    if not found:
        click.echo("No webhook waits for a worker that would store it.")
