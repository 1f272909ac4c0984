// The HMAC over the body, as every peer verifies it.
import { createHmac, timingSafeEqual } from 'node:crypto'

export function isSigned(body, signature) {
  const expected = createHmac('sha256', process.env.WEBHOOK_SECRET).update(body).digest('hex')
  return signature?.length === expected.length && timingSafeEqual(Buffer.from(signature), Buffer.from(expected))
}
