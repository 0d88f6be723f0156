"""A WebSocket application: sends every message back, prefixed with the path it was asked for."""

import asyncio
import sys

from websockets.asyncio.server import serve


async def echo(connection):
    async for message in connection:
        if isinstance(message, bytes):
            await connection.send(message)
        else:
            await connection.send(f"{connection.request.path} {message}")


async def main():
    async with serve(echo, "127.0.0.1", int(sys.argv[1])):
        print("ready", flush=True)
        await asyncio.get_running_loop().create_future()


asyncio.run(main())
