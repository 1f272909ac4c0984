"""Personal data: prune rows past their retention, and erase one guest. First the plan, then a run."""

from flask import Response

from dashboard.access import ScreenBlueprint, operator
from dashboard.filters import SAY_WHY, text_of
from dashboard.i18n import N_, _
from dashboard.pages import render, see_other
from dashboard.stores import current
from dashboard.times import now
from models.privacy.person_search import PersonMatches
from models.privacy.retention import prunable
from operations.erasure import GuestName, describe_guest, find_guest, reason_without_guest
from operations.errors import OperationError
from operations.keyset import COUNT_LIMIT
from operations.runs.store import start_erasure, start_prune

screen = ScreenBlueprint("people", N_("People's data"), home="show", role="people")

MAX_NAMES = 5


@screen.page("/people", role="people")
def show() -> Response:
    """Show what would be pruned now, and a form to find a guest."""
    return _show(_prunable())


@screen.act("/people/prune", role="people")
def prune() -> Response:
    """Start a run that deletes rows past their retention; ask again if their number has changed meanwhile."""
    old, reason = _prunable(), text_of("reason") or ""
    if not reason:
        return _show(old, 400, problem=_(SAY_WHY))
    if text_of("digest") != _digest(old):
        return _show(old, 409, has_changed=True, reason=reason)
    with current().database.transaction() as session:
        run = start_prune(session, operator().name, reason, now())
    return see_other("runs.show", run_id=run.id)


@screen.act("/people/find", role="people")
def find() -> Response:
    """Show whom an erasure would erase, and from how many rows. A POST, so that no URL or log names the guest."""
    return _render_plan(_guest())


@screen.act("/people/erase", role="people")
def erase() -> Response:
    """Start a run that erases a guest; ask again if the number of rows has changed meanwhile."""
    guest, reason = _guest(), text_of("reason") or ""
    if not reason:
        return _render_plan(guest, problem=_(SAY_WHY))
    found = find_guest(current().database, current().services.inbox.cipher, guest)
    if text_of("digest") != _digest(_counts(found)):
        return _render_plan(guest, has_changed=True, reason=reason)
    reason = reason_without_guest(reason, guest.person(), found)
    with current().database.transaction() as session:
        run = start_erasure(session, guest, current().services.inbox.cipher, operator().name, reason, now())
    return see_other("runs.show", run_id=run.id)


def _prunable() -> dict[str, int]:
    with current().database.read_only() as session:
        return prunable(session, now(), current().services.retention, COUNT_LIMIT)


def _show(
    old: dict[str, int], code: int = 200, *, problem: str = "", has_changed: bool = False, reason: str = ""
) -> Response:
    values = dict(problem=problem, has_changed=has_changed, reason=reason)
    keep = current().services.retention
    return render("people/show.html", code, old=old, digest=_digest(old), keep=keep, **values)


def _guest() -> GuestName:
    return GuestName(*(text_of(name) or "" for name in ("email", "phone", "name")))


def _counts(found: PersonMatches) -> dict[str, int]:
    counts = {"bookings": len(found.keys), "deliveries": len(found.bodies), "texts": len(found.texts)}
    return counts | {"hosts": found.hosts, "unopened": len(found.unopened), "skipped": len(found.skipped)}


def _digest(counts: dict[str, int]) -> str:
    return "-".join(str(number) for number in counts.values())


def _render_plan(guest: GuestName, problem: str = "", has_changed: bool = False, reason: str = "") -> Response:
    try:
        found = find_guest(current().database, current().services.inbox.cipher, guest)
    except OperationError as error:
        return render("people/plan.html", 409, guest=guest, names=[], counts={}, digest="", problem=str(error))
    names, counts = list(dict.fromkeys(map(describe_guest, found.guests))), _counts(found)
    return render(
        "people/plan.html",
        409 if has_changed else 400 if problem else 200,
        guest=guest,
        names=names[:MAX_NAMES],
        more=max(0, len(names) - MAX_NAMES),
        counts=counts,
        digest=_digest(counts),
        problem=problem,
        has_changed=has_changed,
        reason=reason,
    )
