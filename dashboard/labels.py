"""Labels and CSS classes of statuses, acts, kinds, targets and timeline entries."""

from dashboard.i18n import N_, _, ngettext

STATUSES = {"pending": N_("pending"), "done": N_("done"), "dead": N_("dead"), "pruned": N_("pruned")}
ACTS = {
    "replayed": N_("replayed"),
    "ignored": N_("ignored"),
    "sent_again": N_("sent once more"),
    "started": N_("run started"),
    "cancelled": N_("run cancelled"),
    "revealed": N_("revealed"),
    "refreshed": N_("corrected to what meetergo says"),
    "compared": N_("compared with meetergo"),
    "mapped": N_("host mapped"),
    "forgotten": N_("mapping forgotten"),
    "granted": N_("API token created"),
    "revoked": N_("API token revoked"),
    "configured": N_("account changed"),
    "shared": N_("calendar link shown"),
    "unshared": N_("calendar link revoked"),
    "pruned": N_("pruned"),
    "erased": N_("erased"),
}
KINDS = {
    "created": N_("new booking"),
    "rescheduled": N_("rescheduled"),
    "updated": N_("updated"),
    "cancelled": N_("meeting cancelled"),
    "attendee_left": N_("a guest left"),
    "linked": N_("given to a host"),
    "summary": N_("summary"),
}
"""Kinds of changes and of notifications."""
TARGETS = {
    "deliveries": N_("deliveries"),
    "notifications": N_("notifications"),
    "old rows": N_("old rows"),
    "a guest": N_("a guest"),
    "bookings": N_("bookings"),
}
STEP_TARGETS = frozenset({"old rows", "a guest"})
"""Targets of runs that have no list of rows."""
STATUS_CLASSES = {
    "done": "good",
    "confirmed": "good",
    "pending": "wait",
    "running": "wait",
    "dead": "bad",
    "failed": "bad",
    "cancelled": "",
}
ENTRY_NAMES = {
    "delivery.received": N_("received"),
    "delivery.retrying": N_("failed, and is retried"),
    "delivery.dead": N_("failed for good"),
    "delivery.done": N_("processed"),
    "booking.created": N_("created"),
    "booking.rescheduled": N_("rescheduled"),
    "booking.cancelled": N_("meeting cancelled"),
    "booking.attendee_left": N_("a guest left"),
    "booking.updated": N_("updated"),
    "booking.linked": N_("given to a host"),
    "booking.erased": N_("guest erased"),
    "notification.owed": N_("to be notified"),
    "notification.retrying": N_("not notified yet"),
    "notification.dead": N_("could not be notified"),
    "notification.done": N_("notified"),
    "notification.replayed": N_("notification replayed"),
    "notification.ignored": N_("notification ignored"),
    "notification.sent_again": N_("notified once more"),
    "operator.erased": N_("guest erased"),
}
"""Kinds of timeline entries. Those of all other acts have the names in ACTS."""
ENTRY_CLASSES = {"done": "good", "dead": "bad", "retrying": "bad", "received": "", "owed": ""}


def status_name(status: str) -> str:
    """Translate a status."""
    return _(STATUSES.get(status, status))


def act_name(kind: str) -> str:
    """Translate the kind of an intervention."""
    return _(ACTS.get(kind, kind))


def kind_name(kind: str) -> str:
    """Translate the kind of a change or of a notification."""
    return _(KINDS.get(kind, kind))


def target_name(target: str) -> str:
    """Translate a run's target."""
    return _(TARGETS.get(target, target))


def target_count(target: str, number: int) -> str:
    """Return the number of a run's rows with their noun, or the target's name if it has no rows."""
    if target in STEP_TARGETS:
        return target_name(target)
    if target == "notifications":
        return ngettext("%(num)s notification", "%(num)s notifications", number)
    if target == "bookings":
        return ngettext("%(num)s booking", "%(num)s bookings", number)
    return ngettext("%(num)s delivery", "%(num)s deliveries", number)


def entry_name(kind: str) -> str:
    """Translate the kind of a timeline entry."""
    return _(ENTRY_NAMES.get(kind) or ACTS.get(kind.partition(".")[2], kind))


def entry_class(kind: str) -> str:
    """Return the CSS class of a timeline entry."""
    subject, _dot, what = kind.partition(".")
    is_act = subject == "operator" or what in ("replayed", "ignored", "sent_again", "revealed")
    return "act" if is_act else ENTRY_CLASSES.get(what, "good")
