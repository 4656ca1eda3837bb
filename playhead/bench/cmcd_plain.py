"""A plain endpoint to measure the gateway beside: ``python -m playhead.bench.cmcd_plain --port PORT``.

What one would write first with FastAPI: each record is read by the same decoder, sent to Kafka by itself, and
the request answered 204 once Kafka has acknowledged each.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import threading
import time
from functools import partial

import uvicorn
from confluent_kafka import KafkaError, Producer
from fastapi import FastAPI, Request, Response

from config import load
from models.cmcd.decoding import Decoder
from playhead.brokers import producer_config
from topics import CMCD
from topics.cmcd import Carriage, CmcdRecord
from topics.fields import derive_id

POLL_S = 0.05


def build() -> FastAPI:
    """Return the application."""
    settings = load(os.environ).settings
    app, decoder = FastAPI(), Decoder(settings.cmcd)
    producer = Producer(producer_config(settings, **{"linger.ms": 1}))
    topic = CMCD.full_name(settings.prefix)
    threading.Thread(target=_poll, args=(producer,), daemon=True).start()

    @app.get("/healthz")
    async def healthz() -> dict[str, bool]:
        return {"ok": True}

    @app.post("/v1/cmcd", status_code=204)
    async def report(request: Request) -> Response:
        received_ms = time.time_ns() // 1_000_000
        loop = asyncio.get_running_loop()
        waiting: list[asyncio.Future[None]] = []
        for line in (await request.body()).split(b"\n"):
            keys = decoder.decode(line.decode(), Carriage.EVENT, received_ms).keys
            if keys is None:
                continue
            session_id = keys.sid or "unknown"
            record = CmcdRecord(
                time_ms=received_ms,
                id=derive_id("cmcd", session_id, line),
                session_id=session_id,
                keys=keys,
                carriage=Carriage.EVENT,
            )
            future: asyncio.Future[None] = loop.create_future()
            waiting.append(future)
            producer.produce(
                topic,
                CMCD.encode(record),
                session_id.encode(),
                on_delivery=partial(_delivered, loop, future),
            )
        await asyncio.gather(*waiting)
        return Response(status_code=204)

    return app


def _delivered(
    loop: asyncio.AbstractEventLoop, future: asyncio.Future[None], error: KafkaError | None, _: object
) -> None:
    if error is None:
        loop.call_soon_threadsafe(future.set_result, None)
    else:
        loop.call_soon_threadsafe(future.set_exception, RuntimeError(error.str()))


def _poll(producer: Producer) -> None:
    while True:
        producer.poll(POLL_S)


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    uvicorn.run(build(), port=parser.parse_args().port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
