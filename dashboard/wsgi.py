"""WSGI entry point, which Granian loads as `dashboard.wsgi:app`."""

from dashboard.app import create_app
from dashboard.settings import DashboardSettings
from receiver.process import watch_parent
from runtime.logs import configure

configure()
watch_parent()
app = create_app(DashboardSettings.load())
