"""Maintenance commands, such as `migrate` and `healthcheck`."""

import logging
import sys

import click


@click.command()
def migrate() -> None:
    """Migrate the database to the schema of this version."""
    # Late: `healthcheck` needs none of this, and containers run it twice a minute.
    from alembic.util.exc import CommandError
    from sqlalchemy.exc import SQLAlchemyError

    from models.migrate import check_encoding
    from models.migrate import migrate as migrate_engine
    from models.migrations.takeover import UnusableDatabase
    from operations.errors import first_line
    from runtime.settings import DatabaseSettings

    alembic = logging.getLogger("alembic.runtime.migration")
    alembic.addFilter(lambda record: _is_step(record) and not sys.stderr.isatty())  # there, the end says it
    database = DatabaseSettings.load().database()
    try:
        warning = check_encoding(database.engine)
        notes = migrate_engine(database.engine)
    except (SQLAlchemyError, CommandError) as error:
        raise click.ClickException(f"the database cannot be migrated: {first_line(error)}") from error
    except UnusableDatabase as error:
        raise click.ClickException(str(error)) from error
    finally:
        database.close()
    for note in [*([warning] if warning else []), *notes]:
        click.echo(note, err=True)
    click.echo("The database is up to date.")


def _is_step(record: logging.LogRecord) -> bool:
    """Whether Alembic logs a migration, rather than the database's dialect."""
    return record.getMessage().startswith("Running")


@click.command()
@click.argument("process", type=click.Choice(["worker", "cron"]))
def healthcheck(process: str) -> None:
    """Exit 0 if this machine's worker or scheduler is alive (for health checks)."""
    from redis.exceptions import RedisError

    from runtime import queue
    from runtime.queue import JobQueue
    from runtime.redis import heartbeat
    from runtime.settings import StoreSettings

    job_queue = JobQueue(StoreSettings.load().redis())
    try:
        is_alive = (
            all(heartbeat.worker_alive(job_queue.queue(queue_name)) for queue_name in queue.QUEUES)
            if process == "worker"
            else heartbeat.scheduler_alive(job_queue.redis)
        )
    except RedisError:
        raise click.ClickException("Redis does not answer, or cannot be written") from None
    if not is_alive:
        raise click.ClickException(f"no sign of the {process} on this machine")
