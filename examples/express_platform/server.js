// An Express platform: verifies the signed POST of meetergo-inbox, and ignores repeats.
import express from "express";
import { Webhook } from "standardwebhooks";

const secrets = (process.env.NOTIFY_SIGNING_SECRET ?? "").split(","); // several while the secret is changed
const webhook = new Webhook(secrets.at(-1).trim());
const processed = new Set(); // in a real platform: a table with a unique key, written with what the event changes

const app = express();

// The signature is over the raw body: express.json() would have parsed it.
app.post("/hooks/bookings", express.raw({ type: "application/json", limit: "1mb" }), (request, response) => {
  let event;
  try {
    event = webhook.verify(request.body.toString("utf8"), request.headers);
  } catch {
    return response.status(401).send("the signature is not valid"); // is sent again for an hour
  }
  const id = request.headers["webhook-id"];
  if (!processed.has(id)) {
    processed.add(id);
    console.log(event.type, event.data.booking?.id ?? `${event.data.total} bookings`, event.data.host?.external_id);
  }
  response.sendStatus(204);
});

const server = app.listen(Number(process.env.PORT ?? 8100), "127.0.0.1", () => {
  console.log(`listening on ${server.address().port}`);
});
