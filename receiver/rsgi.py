"""What the server loads: `receiver.rsgi:app`."""

from receiver.app import async_front
from receiver.settings import ReceiverSettings
from receiver.wsgi import app as wsgi_app

app = async_front(wsgi_app, ReceiverSettings.load().web_threads)
