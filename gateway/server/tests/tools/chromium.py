"""Chromium without a window, driven over its DevTools protocol, for the walks of the tests."""

import asyncio
import base64
import json
import pathlib
import shutil
import subprocess
import tempfile
import time

import websockets

PATIENCE = 60


class Browser:
    def __init__(self, socket, folder):
        self.socket, self.folder, self.number, self.session = socket, folder, 0, None
        self.said = []

    async def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        await self.socket.send(json.dumps(message))
        while True:
            answer = json.loads(await asyncio.wait_for(self.socket.recv(), PATIENCE))
            if answer.get("method") == "Log.entryAdded":
                self.said.append(answer["params"]["entry"])
            if answer.get("id") == message["id"]:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    async def run(self, script):
        result = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    async def until(self, script):
        """Waits until the page says so; a page on its way out cannot be asked, and is asked again."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                if await self.run(f"document.readyState === 'complete' && Boolean({script})"):
                    return
            except RuntimeError:
                pass
            await asyncio.sleep(0.05)
        raise TimeoutError(f"{script} at {await self.run('location.href + document.body.innerText')}")

    async def go(self, url):
        await self.run("window.old = true")
        await self.call("Page.navigate", url=url)
        await self.until("!window.old")

    async def act(self, script):
        """Does something that leads to another page, and waits for that."""
        await self.run("window.old = true")
        await self.run(script)
        await self.until("!window.old")

    async def fill(self, selector, text, form="this.form"):
        field = f"document.querySelector({json.dumps(selector)})"
        await self.run(f"{field}.value = {json.dumps(text)}")
        await self.act(f"{field}.form.requestSubmit(); 0")

    async def shown(self):
        return await self.run("document.body.innerText")

    async def path(self):
        return await self.run("location.pathname + location.search")

    async def picture(self, name):
        shot = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        (self.folder / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))

    async def expect(self, text):
        shown = await self.shown()
        assert text in shown, f"{text!r} is not in {await self.path()}: {shown}"


async def attached(endpoint, folder, walk):
    async with websockets.connect(endpoint, max_size=None) as socket:
        browser = Browser(socket, folder)
        target = await browser.call("Target.createTarget", url="about:blank")
        session = await browser.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        browser.session = session["sessionId"]
        for domain in ["Page", "Runtime", "Log", "Network"]:
            await browser.call(f"{domain}.enable")
        await walk(browser)


def browsing(walk, folder=None, more=()):
    """Starts a browser with a profile of its own and more arguments, and walks. Pictures go into the folder."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program, "chromium is missing: run deploy/test.sh"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                     "--disable-background-networking", "--disable-component-update", "--window-size=900,1100",
                     "--remote-debugging-port=0", f"--user-data-dir={profile}", *more, "about:blank"]
        process = subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            port = pathlib.Path(profile) / "DevToolsActivePort"
            end = time.monotonic() + PATIENCE
            while not (port.exists() and port.read_text().count("\n")):
                assert time.monotonic() < end and process.poll() is None, "chromium does not start"
                time.sleep(0.05)
            number, path = port.read_text().split("\n")[:2]
            asyncio.run(attached(f"ws://127.0.0.1:{number}{path}", folder, walk))
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
