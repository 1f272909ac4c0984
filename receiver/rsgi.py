"""RSGI entry point, which Granian loads as `receiver.rsgi:app`."""

import gc

from receiver.app import create_app
from receiver.process import use_batch_scheduling
from receiver.settings import ReceiverSettings
from runtime.logs import configure
from runtime.process.child_processes import stop_with_parent

configure()
stop_with_parent()
use_batch_scheduling()
app = create_app(ReceiverSettings.load())
gc.freeze()  # imported modules are never collected, so exempt them from garbage collection
