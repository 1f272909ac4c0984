"""Django's settings: the platform's tables and those of meetergo-inbox are in one database."""

import os
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


def database(url: str) -> dict[str, Any]:
    """Returns Django's settings for the DATABASE_URL of meetergo-inbox."""
    if url.startswith("sqlite:///"):
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": url.removeprefix("sqlite:///")}
    parts = urlsplit(url)
    options = {"options": "-c search_path=public,meetergo_inbox", **dict(parse_qsl(parts.query))}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", parts.hostname or ""),
        "PORT": str(parts.port or ""),
        "OPTIONS": options,
    }


DATABASES = {"default": database(os.environ["DATABASE_URL"])}
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "only for trying")
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["lawyers"]
ROOT_URLCONF = "lawyers.urls"
USE_TZ = True  # meetergo-inbox writes times in UTC
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
NOTIFY_SIGNING_SECRET = os.environ.get("NOTIFY_SIGNING_SECRET", "").split(",")[-1].strip()  # the newest of a list
