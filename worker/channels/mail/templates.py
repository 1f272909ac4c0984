"""Mail templates: the built-in ones, and the platform's, which replace them.

Templates run in Jinja's sandbox. In HTML every value is escaped, and a template cannot switch that off.
"""

import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import structlog
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader, StrictUndefined, meta, nodes
from jinja2.exceptions import TemplateNotFound, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from models.booking import NotificationKind
from worker.channels.base import Message
from worker.channels.mail.branding import InvalidBranding, MailBranding
from worker.channels.mail.variables import body_variables, subject_variables
from worker.channels.text.message_text import TEMPLATES as TEXT_TEMPLATES
from worker.channels.text.message_text import MessageText
from worker.channels.text.samples import sample_messages
from worker.channels.text.sanitize import one_line

OURS = (Path(__file__).parent / "templates", TEXT_TEMPLATES)
PREFIX = "default"
"""A template of the platform extends the built-in one of the same name as, for example, `default/message.html`."""
KINDS = get_args(NotificationKind)
SUBJECT, HTML, TEXT = "subject.txt", "message.html", "message.txt"
REPLACEABLE = frozenset(
    (SUBJECT, HTML, TEXT, *(f"{kind}.{form}" for kind in KINDS for form in (SUBJECT, "html", "txt")))
)
FORBIDDEN_FILTERS = ("safe", "urlize")
"""They would turn what a guest typed into markup or links."""
MAX_SUBJECT_LENGTH = 500
CHECKED_AT = datetime(2026, 1, 10, 8, tzinfo=UTC)

log = structlog.get_logger()


@dataclass(frozen=True)
class MailBody:
    """Subject and both forms of a mail."""

    subject: str
    text: str
    html: str


class MailTemplates:
    """Renders mails.

    Args:
        branding: name, colour and logo.
        folder: the platform's templates; None for none.
    """

    def __init__(self, branding: MailBranding, folder: Path | None = None) -> None:
        self.branding = branding
        self._folder = folder
        self._html, self._plain = _environment(folder, autoescape=True), _environment(folder, autoescape=False)

    @classmethod
    def open(cls, branding: MailBranding, folder: str) -> "MailTemplates":
        """Open the templates, and check the platform's by rendering samples of every kind.

        Raises:
            InvalidBranding: the folder does not exist, or a template is broken; names file and line.
        """
        templates = cls(branding, Path(folder) if folder else None)
        templates.check()
        return templates

    def check(self) -> None:
        """Check the platform's templates.

        Raises:
            InvalidBranding: see `open`.
        """
        if self._folder is None:
            return
        names = _names_in(self._folder)
        try:
            references = {name: self._check_source(name) for name in names}
            for message in _check_messages():
                self.render_strictly(message, MessageText.render(message, is_personal=True))
        except InvalidBranding:
            raise
        except Exception as error:
            raise self._unusable(error) from error
        used = set().union(*references.values())
        unknown = sorted(name for name in names if name not in REPLACEABLE | used and not name.startswith("_"))
        if unknown:
            raise InvalidBranding(
                f"MAIL_TEMPLATES cannot be used: {unknown[0]} replaces nothing. The names are {SUBJECT}, {TEXT}, {HTML}"
                f" and those of one kind, such as cancelled.html ({', '.join(KINDS)}); one that others include begins "
                "with '_'"
            )

    def render(self, message: Message, text: MessageText) -> MailBody:
        """Render a mail. If a template of the platform fails, use the built-in ones: a host must be notified anyway."""
        try:
            return self.render_strictly(message, text)
        except Exception as error:
            if self._folder is None:
                raise
            place = self._place(error)
            log.warning("mail.template_failed", notification_id=message.id, template=place, error=type(error).__name__)
            return MailTemplates(self.branding).render_strictly(message, text)

    def render_strictly(self, message: Message, text: MessageText) -> MailBody:
        """Render a mail.

        Raises:
            Exception: whatever a template raises.
        """
        kind, body = message.kind, body_variables(message, text, self.branding)
        subject = self._plain.select_template([f"{kind}.{SUBJECT}", SUBJECT]).render(
            subject_variables(message, text, self.branding)
        )
        subject = one_line(subject, MAX_SUBJECT_LENGTH)
        if not subject:
            raise ValueError("the subject is empty")
        return MailBody(
            subject,
            self._plain.select_template([f"{kind}.txt", TEXT]).render(body),
            self._html.select_template([f"{kind}.html", HTML]).render(body),
        )

    def explain(self, error: Exception) -> InvalidBranding:
        """Return the sentence for an error of a template: file, line and what is wrong."""
        return error if isinstance(error, InvalidBranding) else self._unusable(error)

    def _unusable(self, error: Exception) -> InvalidBranding:
        if isinstance(error, TemplateNotFound):
            reason = f"there is no template {error.name}"
        elif isinstance(error, UnicodeDecodeError):
            reason = "it is not UTF-8"
        elif isinstance(error, OSError):
            reason = f"it cannot be read ({error.strerror})"
        else:
            message = error.message if isinstance(error, TemplateSyntaxError) else error
            reason = one_line(message) or type(error).__name__
        place = self._place(error)
        return InvalidBranding(f"MAIL_TEMPLATES cannot be used: {f'{place}: ' if place else ''}{reason}")

    def _check_source(self, name: str) -> set[str]:
        """Compile a template, and return which others it names."""
        environment = self._html if name.endswith(".html") else self._plain
        try:
            source = (self._folder / name).read_text("utf-8") if self._folder else ""
        except UnicodeDecodeError:
            raise InvalidBranding(f"MAIL_TEMPLATES cannot be used: {name} is not UTF-8") from None
        except OSError as error:
            raise InvalidBranding(f"MAIL_TEMPLATES cannot be used: {name} cannot be read ({error.strerror})") from None
        environment.get_template(name)
        return {name for name in meta.find_referenced_templates(environment.parse(source, name)) if name}

    def _place(self, error: Exception) -> str:
        """Return where in the platform's templates an error arose, such as "message.html, line 3"; "" if unknown."""
        if isinstance(error, TemplateSyntaxError):
            return f"{error.name or Path(error.filename or '').name}, line {error.lineno}"
        frames = [
            (Path(frame.f_code.co_filename), line)
            for frame, line in traceback.walk_tb(error.__traceback__)
            if self._folder and Path(frame.f_code.co_filename).is_relative_to(self._folder)
        ]
        return f"{frames[-1][0].relative_to(self._folder or '')}, line {frames[-1][1]}" if frames else ""


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox without what would let a guest's text become HTML."""

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for switch in tree.find_all(nodes.EvalContextModifier):
            raise TemplateSyntaxError(
                "autoescape cannot be switched: it keeps guests' text from being HTML", switch.lineno, name, filename
            )
        return tree


def _environment(folder: Path | None, *, autoescape: bool) -> Environment:
    ours = FileSystemLoader(OURS)
    loaders: Sequence[FileSystemLoader | PrefixLoader] = [ours, PrefixLoader({PREFIX: ours})]
    environment = _Sandbox(
        loader=ChoiceLoader([*([FileSystemLoader(folder)] if folder else []), *loaders]),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    for name in FORBIDDEN_FILTERS:
        del environment.filters[name]
    return environment


def _names_in(folder: Path) -> list[str]:
    """Return the names of the templates in a folder. Those in subfolders are checked where they are included."""
    try:
        if not folder.is_dir():
            raise InvalidBranding(f"MAIL_TEMPLATES cannot be used: {folder} is not a folder")
        return sorted(path.name for path in folder.iterdir() if path.suffix in (".html", ".txt") and path.is_file())
    except (OSError, ValueError) as error:
        if isinstance(error, InvalidBranding):
            raise
        raise InvalidBranding(f"MAIL_TEMPLATES cannot be used: the folder {folder} cannot be read") from None


def _check_messages() -> Iterator[Message]:
    """Yield every kind in both languages, once with all details and once with as few as possible."""
    for language in ("en", "de"):
        for message in sample_messages(CHECKED_AT, language).values():
            yield message
            bare = dict.fromkeys(message.booking) | {"id": message.booking["id"], "attendees": [], "metadata": {}}
            yield replace(message, booking=bare, before=None, host=None)
