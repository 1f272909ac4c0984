"""FastAPI and arq: one pool, made when the app starts, `enqueue_job` in the view."""

import hmac
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from arq import create_pool
from arq.connections import RedisSettings
from fastapi import FastAPI, HTTPException, Request, Response

SECRET = os.environ["WEBHOOK_SECRET"].encode()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep the pool for the lifetime of the app."""
    app.state.queue = await create_pool(RedisSettings.from_dsn(os.environ["REDIS_URL"]))
    yield
    await app.state.queue.aclose()


app = FastAPI(lifespan=lifespan)


@app.post("/webhooks/meetergo")
async def webhook(request: Request) -> Response:
    """Verify, parse, enqueue."""
    body = await request.body()
    expected = hmac.new(SECRET, body, "sha256").hexdigest()
    if not hmac.compare_digest(expected, request.headers.get("X-Signature", "")):
        raise HTTPException(401)
    await app.state.queue.enqueue_job("handle", json.loads(body))
    return Response("OK")
