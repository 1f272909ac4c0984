"""Follows every change of a booking, from where it stopped the last time."""

import os
import time
from pathlib import Path

import httpx

CURSOR = Path("cursor")
api = httpx.Client(headers={"Authorization": f"Bearer {os.environ['API_TOKEN']}"}, timeout=60)

while True:
    after = {"after": CURSOR.read_text()} if CURSOR.exists() else {}
    try:
        response = api.get(f"{os.environ['API_URL']}/api/v1/changes", params={"wait": 30, **after})
    except httpx.TransportError:  # the server was away, or the connection ended while it waited
        response = httpx.Response(503)
    if response.status_code == 410:
        CURSOR.unlink()  # another database: all of it again
    elif response.is_success:
        for change in response.json()["changes"]:  # keep booking["revision"], and ignore an older one
            print(change["kind"], change["booking"]["id"], change["booking"]["status"], flush=True)
        Path("cursor.new").write_text(response.json()["next"])
        Path("cursor.new").replace(CURSOR)  # better: where the changes are stored, in the same transaction
    elif response.status_code < 429:
        raise SystemExit(response.text)
    time.sleep(int(response.headers.get("Retry-After", 0 if response.status_code < 429 else 5)))
