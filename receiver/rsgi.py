"""RSGI entry point, which Granian loads as `receiver.rsgi:app`."""

from receiver.app import create_async_app
from receiver.settings import ReceiverSettings
from receiver.wsgi import app as wsgi_app

app = create_async_app(wsgi_app, ReceiverSettings.load().web_threads)
