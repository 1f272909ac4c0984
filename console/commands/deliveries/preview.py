"""`notifications preview`: show what mails look like, without sending any."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from console.cli import completion
from console.cli.stores import read_only_session
from console.cli.types import CallersPath
from operations.text import count

if TYPE_CHECKING:
    from operations.notifications.mail_preview import MailPreview

KINDS = ("created", "rescheduled", "updated", "cancelled", "attendee_left", "summary", "handed_over")
FORMS = ("text", "html", "ics", "eml")


@click.command("preview")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only this kind; may be repeated.")
@click.option("--booking", metavar="ID", type=completion.BOOKING, help="Show a real booking in place of samples.")
@click.option("--language", metavar="TAG", help="The host's language, such as de-AT (the host's own, or en).")
@click.option("--timezone", metavar="ZONE", help="The host's time zone (the host's own, or Europe/Vienna).")
@click.option(
    "--output", metavar="FOLDER", type=CallersPath(file_okay=False, path_type=Path), help="Write all forms into files."
)
@click.option("--format", "form", type=click.Choice(FORMS), default="text", help="What the terminal shows (text).")
def preview_notifications(
    kinds: tuple[str, ...],
    booking: str | None,
    language: str | None,
    timezone: str | None,
    output: Path | None,
    form: str,
) -> None:
    """Show the mails of every kind with the current settings and templates, and send nothing.

    Samples need no database. `handed_over` is the mail to a host whose booking another host has now.
    """
    from operations.notifications import mail_preview  # late: languages and templates, which no other command needs
    from worker.settings import MailSettings
    from worker.start import exit_on_bad_setting

    settings = MailSettings.load()
    composer = exit_on_bad_setting(lambda: mail_preview.open_composer(settings))
    if booking:
        with read_only_session() as session:
            messages = mail_preview.booking_mails(session, booking, language, timezone)
    else:
        messages = mail_preview.sample_mails(datetime.now(UTC), language, timezone)
    previews = mail_preview.render_previews(composer, messages, kinds)
    if not settings.mail_from:
        click.echo(f"MAIL_FROM is not set: this shows {mail_preview.SAMPLE_SENDER}.", err=True)
    if output:
        written = mail_preview.write_previews(previews, output)
        click.echo(f"Wrote {count(len(written), 'file', 'files')} to {output}. Nothing was sent.")
        return
    if len(previews) == 1:
        click.echo(_shown(previews[0], form))
        return
    for preview in previews:
        click.secho(f"--- {preview.name.replace('_', ' ')} ---", bold=True)
        click.echo(f"{_shown(preview, form)}\n")


def _shown(preview: "MailPreview", form: str) -> str:
    """Return one form of a mail for the terminal."""
    headers = "\n".join(f"{name}: {value}" for name, value in preview.headers.items())
    content = {
        "text": f"{headers}\n\n{preview.text}",
        "html": preview.html,
        "ics": preview.ics or "(no calendar entry)",
        "eml": preview.eml.decode(),
    }[form]
    return content.replace("\r\n", "\n").rstrip()
