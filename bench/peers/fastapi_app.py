"""A lookup service as most would write it: FastAPI over redis-py, JSON in and out.

Run by uvicorn; `AIRPORTS_REDIS` in the environment is the store's URL.
"""

import json
import os
from typing import Any

import redis.asyncio
from fastapi import FastAPI, HTTPException

app = FastAPI()
store = redis.asyncio.Redis.from_url(os.environ["AIRPORTS_REDIS"])


@app.get("/v1/airport")
async def airport(faa: str) -> dict[str, Any]:
    row = await store.get(f"airport:{faa}")
    if row is None:
        raise HTTPException(404, "no such airport")
    return {"data": json.loads(row)}
