"""Reads each booking that meetergo-inbox has just changed, as PostgreSQL's NOTIFY tells it."""

import json
import os

import psycopg


def main() -> None:
    """Prints changed bookings until Ctrl-C. LISTEN needs a session of its own: no pooler in transaction mode."""
    url = os.environ["DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as listener, psycopg.connect(url, autocommit=True) as reader:
        listener.execute("LISTEN meetergo_inbox")
        print("listening", flush=True)  # now read what changed while nobody listened: see README.md
        for notification in listener.notifies():
            change = json.loads(notification.payload)  # {"booking_id": "...", "revision": 3}
            query = "SELECT status, starts_at FROM meetergo_inbox.bookings_v1 WHERE id = %s"
            row = reader.execute(query, [change["booking_id"]]).fetchone()
            print(change["booking_id"], change["revision"], *(row or ["unknown"]), flush=True)


if __name__ == "__main__":
    main()
