// The sample of meetergo's recipe "White-Label Platform Integration": it answers first, and verifies nothing. Its own
// lines are between the marks; `db` stands for the platform's database. What is sent here has the sample's shape.
import express from 'express'
import pg from 'pg'

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })
await pool.query('CREATE TABLE users (id int PRIMARY KEY, "meetergoUserId" text UNIQUE NOT NULL)')
await pool.query(`INSERT INTO users SELECT n, 'sample-host-' || n FROM generate_series(0, 99) AS n`)
await pool.query(
  'CREATE TABLE webhooks (id text PRIMARY KEY, "platformUserId" int, "clientEmail" text, "scheduledAt" timestamptz, status text)',
)

const db = {
  users: {
    findFirst: async ({ where }) =>
      (await pool.query('SELECT id FROM users WHERE "meetergoUserId" = $1', [where.meetergoUserId])).rows[0],
  },
  bookings: {
    create: ({ data }) =>
      pool.query('INSERT INTO webhooks VALUES ($1, $2, $3, $4)', [
        data.meetergoBookingId, data.platformUserId, data.clientEmail, data.scheduledAt,
      ]),
    update: ({ where, data }) =>
      pool.query('UPDATE webhooks SET status = $2 WHERE id = $1', [where.meetergoBookingId, data.status]),
  },
}
const sendPlatformNotification = async () => {}

const app = express()
app.use(express.json())
// --- the sample
app.post('/webhooks/meetergo', async (req, res) => {
  res.status(200).send('OK');

  const { event, data } = req.body;
  const hostUserId = data.hosts[0]?.id;

  // Find the platform user
  const platformUser = await db.users.findFirst({
    where: { meetergoUserId: hostUserId }
  });

  switch (event) {
    case 'booking_created':
      // Update platform analytics
      await db.bookings.create({
        data: {
          platformUserId: platformUser.id,
          clientEmail: data.attendees[0].email,
          scheduledAt: data.start,
          meetergoBookingId: data.id
        }
      });

      // Send platform-specific notification
      await sendPlatformNotification(platformUser, 'new_booking', data);
      break;

    case 'booking_cancelled':
      await db.bookings.update({
        where: { meetergoBookingId: data.id },
        data: { status: 'cancelled' }
      });
      break;
  }
});
// --- the end of it
app.listen(Number(process.env.PORT), process.env.HOST)
