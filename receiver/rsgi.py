"""RSGI entry point, which Granian loads as `receiver.rsgi:app`."""

import gc

from receiver.app import create_app
from receiver.process import use_batch_scheduling
from receiver.settings import ReceiverSettings
from runtime.logs import configure

configure()
use_batch_scheduling()
app = create_app(ReceiverSettings.load())
gc.freeze()  # imported modules are never collected, so exempt them from garbage collection
