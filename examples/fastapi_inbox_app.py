"""Run it: DATABASE_URL=… LIVEKIT_API_KEY=devkey LIVEKIT_API_SECRET=secret uvicorn fastapi_inbox_app:app --port 8000"""

import os

from fastapi import FastAPI
from sqlalchemy import Column, MetaData, Table, Text, insert
from sqlalchemy.ext.asyncio import create_async_engine

from roombell import Inbox, Receiver
from roombell.inbox.databases.sqlalchemy import AsyncSqlAlchemy
from roombell.receiver import ParticipantEvent, fastapi

URL = os.environ["DATABASE_URL"]  # postgresql://…, for the inbox and for what handlers write
engine = create_async_engine(URL.replace("postgresql:", "postgresql+asyncpg:"))
visits = Table("visit", MetaData(), Column("identity", Text))  # made by your migrations
receiver = Receiver(keys={os.environ["LIVEKIT_API_KEY"]: os.environ["LIVEKIT_API_SECRET"]})
inbox = Inbox(receiver, store=URL, database=AsyncSqlAlchemy(engine))
app = FastAPI(lifespan=inbox.lifespan)
app.include_router(fastapi.route(receiver, "/livekit"))


@receiver.on("participant_joined")
async def joined(event: ParticipantEvent) -> None:
    async with inbox.transaction(event) as connection:
        await connection.execute(insert(visits).values(identity=event.participant.identity))
