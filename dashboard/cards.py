"""Cards: a finding in the operator's language, with the button or the command that helps."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import url_for

from dashboard import times
from dashboard.i18n import N_, _, integer, ngettext
from models.incident import IncidentKind
from operations.checks import Finding
from operations.keyset import COUNT_LIMIT

INCIDENTS: dict[IncidentKind, str] = {
    "deliveries_dead": N_("deliveries dead"),
    "notifications_dead": N_("notifications dead"),
    "failing_again": N_("failing again"),
    "waiting_too_long": N_("waiting too long"),
    "processing_stuck": N_("processing stuck"),
    "link_skipped": N_("link skipped"),
    "worker_died": N_("worker died"),
    "no_worker": N_("no worker"),
    "clock_ahead": N_("clock ahead"),
    "redis_only": N_("only in Redis"),
    "database_read_only": N_("database read-only"),
    "database_down": N_("database down"),
    "redis_down": N_("Redis down"),
    "reconcile_stopped": N_("reconcile stopped"),
    "webhooks_silent": N_("webhooks silent"),
    "webhooks_missed": N_("webhooks missed"),
    "registration_lost": N_("registration lost"),
    "api_key_refused": N_("API key refused"),
    "api_key_expiring": N_("API key expiring"),
    "certificate_expiring": N_("certificate expiring"),
    "hosts_unmapped": N_("hosts unmapped"),
}
ERRORS = {"inbox": "/errors", "outbox": "/errors?of=notifications"}
PATHS = {"inbox": "/deliveries", "outbox": "/notifications"}


@dataclass(frozen=True)
class Card:
    """One thing that needs a person.

    Attributes:
        what: the headline.
        detail: more about it; empty for nothing.
        button: text of the link that leads on; empty without one.
        address: where it leads.
        command: the CLI command that helps; None without one.
        is_urgent: whether something is broken, not only late.
    """

    what: str
    detail: str = ""
    button: str = ""
    address: str = ""
    command: str | None = None
    is_urgent: bool = True


def card_of(finding: Finding, dead_causes: dict[str, str]) -> Card:
    """Build the card of a finding: its text, and where its button leads."""
    build = CARDS.get(finding.kind)
    if build is None:
        return Card(finding.what, command=finding.command)
    return build(finding.values | {"dead_causes": dead_causes})


def _number(number: int) -> str:
    return _("more than %(number)s", number=integer(COUNT_LIMIT)) if number > COUNT_LIMIT else integer(number)


def _dead(values: dict[str, Any]) -> Card:
    number, queue = values["number"], values["queue"]
    if queue == "inbox":
        what = ngettext("%(num)s delivery is dead", "%(num)s deliveries are dead", number, num=_number(number))
    else:
        what = ngettext("%(num)s notification is dead", "%(num)s notifications are dead", number, num=_number(number))
    return Card(what, values["dead_causes"].get(queue, ""), _("See the errors"), ERRORS[queue])


def _waiting(values: dict[str, Any]) -> Card:
    number, queue = values["number"], values["queue"]
    if queue == "inbox":
        what = ngettext("%(num)s delivery waits", "%(num)s deliveries wait", number, num=_number(number))
    else:
        what = ngettext("%(num)s notification waits", "%(num)s notifications wait", number, num=_number(number))
    detail = _("The oldest since %(when)s.", when=times.local(values["since"])) if values["since"] else ""
    return Card(what, detail, _("Which ones"), f"{PATHS[queue]}?status=pending", is_urgent=False)


def _redis_only(values: dict[str, Any]) -> Card:
    what = ngettext("%(num)s webhook is only in Redis", "%(num)s webhooks are only in Redis", values["number"])
    detail = _("Do not restart or empty Redis.")
    if values["since"]:
        detail += " " + _("The oldest since %(when)s.", when=times.local(values["since"]))
    return Card(what, detail, is_urgent=False)


def _orphaned(values: dict[str, Any]) -> Card:
    what = ngettext(
        "%(num)s webhook is in the queue %(queue)s, and no worker stores it",
        "%(num)s webhooks are in the queue %(queue)s, and no worker stores them",
        values["number"],
        queue=values["queue"],
    )
    return Card(what, _("If it is this platform's, adopt them."), command=f"bin/inbox adopt-queue {values['queue']}")


def _worker_died(values: dict[str, Any]) -> Card:
    what = ngettext(
        "A worker of the %(queue)s died %(num)s time in the last 10 minutes",
        "Workers of the %(queue)s died %(num)s times in the last 10 minutes",
        values["number"],
        queue=values["queue"],
    )
    return Card(what, _("See their log."), _("Which ones"), f"{PATHS[values['queue']]}?status=dead")


def _failing(values: dict[str, Any]) -> Card:
    number = values["number"]
    what = ngettext(
        "%(num)s delivery fails repeatedly", "%(num)s deliveries fail repeatedly", number, num=_number(number)
    )
    return Card(what, values["causes"], _("See the errors"), ERRORS["inbox"], is_urgent=False)


def _key(values: dict[str, Any]) -> Card:
    days = values["days"]
    if days < 0:
        what = _("The API key of meetergo has ended")
    elif days == 0:
        what = _("The API key of meetergo ends today")
    else:
        what = ngettext(
            "The API key of meetergo ends in %(num)s day", "The API key of meetergo ends in %(num)s days", days
        )
    return Card(
        what,
        _("Create a new one, and set MEETERGO_API_KEY_EXPIRES to its last day."),
        _("Settings"),
        url_for("configuration.list_all"),
        is_urgent=days <= 0,
    )


def _registration(values: dict[str, Any]) -> Card:
    if values["reason"] == "elsewhere":
        what = _("The webhook at meetergo posts to another address, at %(host)s", host=values["host"])
    elif values["reason"] == "events":
        what = _("The webhook at meetergo does not send: %(events)s", events=", ".join(values["events"]))
    else:
        what = _("meetergo has no webhook for our address any more")
    return Card(what, _("Nothing, or not everything, arrives."), command="bin/inbox webhook register")


def _missed(values: dict[str, Any]) -> Card:
    what = ngettext(
        "%(num)s booking known only from reconcile, not from a webhook",
        "%(num)s bookings known only from reconcile, not from a webhook",
        values["number"],
    )
    return Card(what, _("Webhooks do not arrive."), _("See the runs"), url_for("reconcile.list_all"))


def _silent(values: dict[str, Any]) -> Card:
    detail = (
        _("Reconcile finds none missing, so nobody books.")
        if values["confirmed"]
        else _("On a holiday nothing may be wrong. Else meetergo does not reach the receiver.")
    )
    what = _("No webhook has arrived since %(when)s, which is unusual", when=times.local(values["since"]))
    return Card(what, detail, _("Which ones"), PATHS["inbox"], is_urgent=False)


def _certificate(values: dict[str, Any]) -> Card:
    host, days = values["host"], values.get("days", -1)
    if "reason" in values:
        what = _("The certificate of %(host)s is not valid", host=host)
    elif days < 1:
        what = _("The certificate of %(host)s ends today", host=host)
    else:
        what = ngettext(
            "The certificate of %(host)s ends in %(num)s day",
            "The certificate of %(host)s ends in %(num)s days",
            days,
            host=host,
        )
    detail = _("Look at what renews it, in front of the receiver.")
    return Card(what, " ".join(filter(None, [values.get("reason"), detail])), is_urgent=days < 1)


def _unmapped(values: dict[str, Any]) -> Card:
    what = ngettext(
        "%(num)s host of meetergo is not a platform user",
        "%(num)s hosts of meetergo are not platform users",
        values["hosts"],
    )
    detail = ngettext("%(num)s booking waits for an owner.", "%(num)s bookings wait for an owner.", values["bookings"])
    return Card(what, detail, _("Which ones"), url_for("hosts.list_all"), is_urgent=False)


CARDS: dict[str, Callable[[dict[str, Any]], Card]] = {
    "newer": lambda values: Card(_("The database is of a newer version"), values["message"]),
    "version_hidden": lambda values: Card(_("The version of the database is hidden"), values["message"]),
    "row_security": lambda values: Card(_("The database keeps rows from us"), values["message"]),
    "schema": lambda _values: Card(
        _("The database does not have the tables of this version"), command="bin/inbox migrate"
    ),
    "store": lambda values: Card(_("A store does not answer"), values["message"]),
    "read_only": lambda values: Card(
        _("The database answers, but cannot be written"),
        _("%(reason)s. Webhooks are kept until it can.", reason=values["reason"]),
    ),
    "redis_only": _redis_only,
    "evicts": lambda values: Card(
        _("Redis evicts keys when it is full (%(policy)s)", policy=values["policy"]),
        _("It may lose webhooks while the database is down: set its maxmemory-policy to noeviction."),
        is_urgent=False,
    ),
    "orphaned": _orphaned,
    "no_worker": lambda values: Card(
        _("No worker runs for: %(queues)s", queues=values["queues"]), command="python -m worker"
    ),
    "worker_died": _worker_died,
    "no_scheduler": lambda _values: Card(_("The scheduler is not running"), command="python -m worker.scheduler"),
    "task_stopped": lambda values: Card(
        _("The scheduler does not complete: %(tasks)s", tasks=values["tasks"]), _("See its log.")
    ),
    "alerts_unsent": lambda values: Card(
        ngettext(
            "%(num)s alert channel does not take the alert of an open incident",
            "%(num)s alert channels do not take the alert of an open incident",
            values["number"],
        ),
        _("alert.failed in the scheduler's log says why."),
    ),
    "failing": _failing,
    "stuck": lambda values: Card(
        _("A drain ended without an outcome"),
        _("It was %(when)s. See the worker's log.", when=times.age(values["since"])),
        _("Which ones"),
        f"{PATHS['inbox']}?status=pending",
    ),
    "dead": _dead,
    "waiting": _waiting,
    "from_future": lambda values: Card(
        ngettext(
            "%(num)s delivery says it was received in the future",
            "%(num)s deliveries say they were received in the future",
            values["number"],
        ),
        _("Set the clock of the receiver's machine."),
        _("Which ones"),
        PATHS["inbox"],
    ),
    "clock": lambda values: Card(
        _("This machine's clock and the database's differ by %(length)s", length=times.span(values["length"])),
        _("Set it."),
    ),
    "reconcile": lambda values: Card(
        _("Reconcile cannot read everything"), values["error"], _("See the runs"), url_for("reconcile.list_all")
    ),
    "key": _key,
    "key_refused": lambda values: Card(
        _("meetergo refuses the API key: it has expired")
        if values["reason"] == "expired"
        else _("meetergo refuses the API key"),
        _("Create a new one, and set MEETERGO_API_KEY_EXPIRES to its last day."),
        _("Settings"),
        url_for("configuration.list_all"),
    ),
    "registration": _registration,
    "missed": _missed,
    "silent": _silent,
    "certificate": _certificate,
    "unmapped": _unmapped,
    "account": lambda values: Card(
        _("Account %(account)s: %(incident)s", account=values["account"], incident=_(INCIDENTS[values["kind"]])),
        command=values["command"],
    ),
}
"""Kind of a finding -> its card."""
