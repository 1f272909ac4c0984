"""Settings: which are set, never their values."""

from flask import Response

from dashboard.access import ScreenBlueprint
from dashboard.i18n import N_
from dashboard.pages import render
from operations.overview.setting_list import list_settings

screen = ScreenBlueprint("configuration", N_("Settings"))

PURPOSES = {
    N_("Stores"): (
        "DATABASE_SCHEMA",
        "DATABASE_URL",
        "POSTGRES_PASSWORD",
        "REDIS_PASSWORD",
        "REDIS_PREFIX",
        "REDIS_TLS_VERIFY",
        "REDIS_URL",
    ),
    N_("Receiver"): (
        "HOST",
        "PORT",
        "PUBLIC_URL",
        "WEBHOOK_ACCOUNT",
        "WEBHOOK_ADDRESS_OPTIONAL",
        "WEBHOOK_KEYS",
        "WEBHOOK_MAX_BODY",
        "WEBHOOK_SIGNATURE_HEADER",
        "WEBHOOK_SIGNATURE_SCHEME",
        "WEBHOOK_SIGNATURE_SECRETS",
        "WEBHOOK_SIGNATURE_TOLERANCE",
        "WEB_PROCESSES",
        "WEB_THREADS",
    ),
    N_("Bookings and notifications"): (
        "CONFIRM",
        "CONFIRM_CANCELS",
        "DATABASE_NOTIFY",
        "MAIL_COLOR",
        "MAIL_FROM",
        "MAIL_LOGO",
        "MAIL_NAME",
        "MAIL_REPLY_TO_GUEST",
        "MAIL_TEMPLATES",
        "NOTIFY_DEFAULT",
        "NOTIFY_SIGNING_SECRET",
        "PLATFORM_HOOK",
        "PLATFORM_PATH",
        "SMTP_URL",
    ),
    N_("meetergo"): (
        "MEETERGO_API_KEY",
        "MEETERGO_API_KEY_EXPIRES",
        "MEETERGO_API_PER_MINUTE",
        "MEETERGO_API_URL",
        "MEETERGO_API_USER",
        "MEETERGO_COMPANY_ID",
        "RECONCILE_DAYS",
    ),
    N_("Operation"): (
        "ALERT_CHANNELS",
        "ALERT_WAITING_SECONDS",
        "BODY_KEYS",
        "KEEP_DEAD_DAYS",
        "KEEP_DONE_DAYS",
        "METRICS_HOST",
        "METRICS_PORT",
    ),
    N_("Dashboard"): (
        "DASHBOARD_HOST",
        "DASHBOARD_PORT",
        "DASHBOARD_PROXIES",
        "DASHBOARD_ROLE_HEADER",
        "DASHBOARD_URL",
        "DASHBOARD_USER_HEADER",
    ),
    N_("Read API"): ("API_HOST", "API_PORT", "CALENDAR_URL"),
}
OTHERS = N_("Others")


@screen.page("/settings")
def list_all() -> Response:
    """List every setting by purpose, and whether this process has it."""
    states = {state.name: state for state in list_settings()}
    groups = {title: [states.pop(name) for name in names if name in states] for title, names in PURPOSES.items()}
    return render("setting/list.html", groups={**groups, **({OTHERS: list(states.values())} if states else {})})
