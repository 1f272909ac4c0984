// Follows every change of a booking, from where it stopped the last time. Node 18 or newer, no packages.
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const { API_URL, API_TOKEN } = process.env;

for (;;) {
  const after = existsSync("cursor") ? `&after=${readFileSync("cursor", "utf8")}` : "";
  const options = { headers: { authorization: `Bearer ${API_TOKEN}` }, signal: AbortSignal.timeout(60_000) };
  let response = new Response("{}", { status: 503 }), page;
  try {
    response = await fetch(`${API_URL}/api/v1/changes?wait=30${after}`, options);
    page = await response.json();
  } catch { // the server was away, or the connection ended while it waited
  }
  if (response.status === 410) rmSync("cursor"); // another database: all of it again
  else if (page && response.ok) {
    for (const { kind, booking } of page.changes) // keep booking.revision, and ignore an older one
      console.log(kind, booking.id, booking.status);
    writeFileSync("cursor.new", page.next);
    renameSync("cursor.new", "cursor"); // better: where the changes are stored, in the same transaction
  } else if (!response.ok && response.status < 429) throw new Error(page?.detail);
  await sleep(1000 * Number(response.headers.get("retry-after") ?? (response.status < 429 ? 0 : 5)));
}
