"""What a WSGI server loads: `receiver.wsgi:app`."""

from models.logs import configure
from receiver.app import create_app
from receiver.settings import ReceiverSettings

configure()
app = create_app(ReceiverSettings.load())
