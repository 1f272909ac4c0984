// Fastify and pg: a 200 is a committed row, and a repeat of a body is no second one.
import { createHash } from 'node:crypto'
import Fastify from 'fastify'
import pg from 'pg'
import { isSigned } from './signature.js'

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: Number(process.env.POOL_SIZE) })
await pool.query(
  'CREATE TABLE webhooks (id text PRIMARY KEY, body bytea NOT NULL, received_at timestamptz NOT NULL DEFAULT now())',
)
const insert = {
  name: 'insert',
  text: 'INSERT INTO webhooks (id, body) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING',
}

const app = Fastify()
app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
app.post('/webhooks/meetergo', async (request, reply) => {
  if (!isSigned(request.body, request.headers['x-signature'])) return reply.code(401).send()
  const id = createHash('sha256').update(request.body).digest('hex')
  await pool.query({ ...insert, values: [id, request.body] })
  return 'OK'
})
await app.listen({ host: process.env.HOST, port: Number(process.env.PORT) })
