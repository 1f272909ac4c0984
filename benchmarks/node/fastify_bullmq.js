// Fastify and BullMQ: a 200 is a job in Redis.
import { Queue } from 'bullmq'
import Fastify from 'fastify'
import IORedis from 'ioredis'
import { isSigned } from './signature.js'

const queue = new Queue('deliveries', { connection: new IORedis(process.env.REDIS_URL) })

const app = Fastify()
app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
app.post('/webhooks/meetergo', async (request, reply) => {
  if (!isSigned(request.body, request.headers['x-signature'])) return reply.code(401).send()
  await queue.add('delivery', JSON.parse(request.body), { removeOnComplete: true })
  return 'OK'
})
await app.listen({ host: process.env.HOST, port: Number(process.env.PORT) })
