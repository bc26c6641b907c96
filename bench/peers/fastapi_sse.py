"""FastAPI and uvicorn: /sub streams, a POST to /pub goes to all of them, by a queue each."""

import asyncio
import os

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

app = FastAPI()
queues = set()
count = 0


async def events():
    queue = asyncio.Queue()
    queues.add(queue)
    try:
        yield ": open\n\n"
        while True:
            yield await queue.get()
    finally:
        queues.discard(queue)


@app.get("/sub")
async def sub():
    return StreamingResponse(events(), media_type="text/event-stream")


@app.post("/pub", status_code=202)
async def pub(request: Request):
    global count
    count += 1
    event = f"id: {count}\ndata: {(await request.body()).decode()}\n\n"
    for queue in queues:
        queue.put_nowait(event)
    return ""


uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning",
            backlog=4096)
