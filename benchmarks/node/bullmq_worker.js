// A BullMQ worker with one transaction per job, written by hand: six statements that do the work of a delivery.
// `node bullmq_worker.js enqueue` makes the platform's tables and one job for each line of stdin.
import { createHash } from 'node:crypto'
import { createInterface } from 'node:readline'
import { Queue, Worker } from 'bullmq'
import IORedis from 'ioredis'
import pg from 'pg'

const QUEUE = 'deliveries'
const CONCURRENCY = 20
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: CONCURRENCY })
const connection = new IORedis(process.env.REDIS_URL, { maxRetriesPerRequest: null })

const TABLES = `
CREATE SCHEMA platform;
SET search_path TO platform;
CREATE TABLE platform_users (
  id int PRIMARY KEY, external_id text UNIQUE NOT NULL, meetergo_user_id text UNIQUE NOT NULL
);
INSERT INTO platform_users SELECT n, 'sample-host-' || n, 'sample-host-' || n FROM generate_series(0, 99) AS n;
CREATE TABLE deliveries (id text PRIMARY KEY, status text NOT NULL, ended_at timestamptz NOT NULL);
CREATE TABLE bookings (
  id text PRIMARY KEY, platform_user_id int REFERENCES platform_users, status text NOT NULL, starts_at timestamptz NOT NULL,
  ends_at timestamptz NOT NULL, meeting_name text, meeting_link text, attendees jsonb NOT NULL, as_of timestamptz NOT NULL,
  revision int NOT NULL DEFAULT 1
);
CREATE INDEX ON bookings (platform_user_id, starts_at);
CREATE TABLE booking_changes (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, booking_id text NOT NULL REFERENCES bookings, revision int NOT NULL,
  kind text NOT NULL, before jsonb, after jsonb NOT NULL, at timestamptz NOT NULL DEFAULT now(), UNIQUE (booking_id, revision)
);
CREATE TABLE notifications (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, booking_id text NOT NULL REFERENCES bookings, kind text NOT NULL,
  status text NOT NULL DEFAULT 'pending', payload jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON notifications (id) WHERE status = 'pending';
`

const SQL = {
  accept: `INSERT INTO platform.deliveries VALUES ($1, 'done', now()) ON CONFLICT DO NOTHING RETURNING id`,
  host: 'SELECT id FROM platform.platform_users WHERE meetergo_user_id = $1',
  before: 'SELECT status, starts_at, ends_at FROM platform.bookings WHERE id = $1 FOR UPDATE',
  merge: `
    INSERT INTO platform.bookings (id, platform_user_id, status, starts_at, ends_at, meeting_name, meeting_link, attendees, as_of)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (id) DO UPDATE SET
      platform_user_id = excluded.platform_user_id, status = excluded.status, starts_at = excluded.starts_at,
      ends_at = excluded.ends_at, meeting_name = excluded.meeting_name, meeting_link = excluded.meeting_link,
      attendees = excluded.attendees, as_of = excluded.as_of, revision = bookings.revision + 1
    WHERE bookings.as_of < excluded.as_of RETURNING revision`,
  change: 'INSERT INTO platform.booking_changes (booking_id, revision, kind, before, after) VALUES ($1, $2, $3, $4, $5)',
  notify: 'INSERT INTO platform.notifications (booking_id, kind, payload) VALUES ($1, $2, $3)',
}

async function handle(job) {
  const { body } = job.data
  const content = JSON.parse(body)
  const kind = content.webhookType ?? content.event
  const appointment = content.data?.rescheduledAppointment ?? content.data ?? content
  const client = await pool.connect()
  const run = (name, ...values) => client.query({ name, text: SQL[name], values })
  try {
    await client.query('BEGIN')
    const accepted = await run('accept', createHash('sha256').update(body).digest('hex'))
    if (accepted.rowCount) await merge(run, kind, appointment)
    await client.query('COMMIT')
  } catch (error) {
    await client.query('ROLLBACK')
    throw error
  } finally {
    client.release()
  }
}

async function merge(run, kind, { id, hosts, isCancelled, start, end, meetingType, meetingInfo, attendees, updatedAt }) {
  const host = (await run('host', hosts[0]?.id)).rows[0]
  const before = (await run('before', id)).rows[0]
  const status = isCancelled ? 'cancelled' : 'confirmed'
  const columns = [meetingType.meetingInfo.name, meetingInfo.meetingLink, JSON.stringify(attendees), updatedAt]
  const merged = (await run('merge', id, host?.id, status, start, end, ...columns)).rows[0]
  if (!merged) return // a newer delivery was processed before
  const after = { status, start, end }
  await run('change', id, merged.revision, kind, before ? JSON.stringify(before) : null, JSON.stringify(after))
  await run('notify', id, kind, JSON.stringify({ booking: id, host: host?.id, before, after }))
}

async function enqueue() {
  await pool.query(TABLES)
  const queue = new Queue(QUEUE, { connection })
  const jobs = []
  for await (const body of createInterface({ input: process.stdin })) {
    jobs.push({ name: 'delivery', data: { body }, opts: { removeOnComplete: true } })
  }
  while (jobs.length) await queue.addBulk(jobs.splice(0, 500))
  await queue.close()
  await connection.quit()
  await pool.end()
}

if (process.argv[2] === 'enqueue') await enqueue()
else new Worker(QUEUE, handle, { connection, concurrency: CONCURRENCY })
