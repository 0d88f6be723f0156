"""Talks to a WebSocket at URL: N text messages, one large binary one, a ping, and a close. Prints what came back.

With --hold it says `ready` once connected and stays until its input ends.
"""

import asyncio
import ssl
import sys

from websockets.asyncio.client import connect


async def main(url: str, count: int, hold: bool, ca: str | None):
    context = ssl.create_default_context(cafile=ca) if ca else None
    async with connect(url, ssl=context, max_size=None) as connection:
        if hold:
            await connection.send("held")
            await connection.recv()
            print("ready", flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        for number in range(count):
            await connection.send(f"message {number}")
            print(await connection.recv())
        large = bytes(range(256)) * 4096
        await connection.send(large)
        print("binary", await connection.recv() == large)
        await (await connection.ping())
        print("pong")
    print("closed", connection.close_code)


options = [argument for argument in sys.argv[3:] if argument != "--hold"]
asyncio.run(main(sys.argv[1], int(sys.argv[2]), "--hold" in sys.argv, options[0] if options else None))
