"""A real browser walks through second factors. Arguments: the gateway's URL, and a folder for what is seen on the way.

Chromium without a window, driven over its DevTools protocol. Codes are made by `cryptography`, security keys by the
browser's virtual authenticator. Fails when a page says anything to the console: what the content security policy blocks
is told there.
"""

import asyncio
import base64
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import websockets
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

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


async def sign_in(browser, url):
    await browser.go(f"{url}/login")
    await browser.run("document.querySelector('[name=user]').value = 'ann'")
    await browser.act("document.querySelector('form').requestSubmit(); 0")
    await browser.expect("home of ann")


def code(secret, later=0):
    return TOTP(base64.b32decode(secret), 6, SHA1(), 30).generate(time.time() + later).decode()


async def enrol(browser, url):
    await browser.go(f"{url}/admin")
    assert (await browser.path()) == "/.palisade/mfa/enrol?return=%2Fadmin", await browser.path()
    await browser.until("document.querySelector('svg').getBoundingClientRect().width > 100")
    assert await browser.run("document.activeElement.id") == "code"
    assert await browser.run("getComputedStyle(document.querySelector('main')).borderRadius") == "16px"
    await browser.picture("1-enrol")
    address = await browser.run("document.querySelector('a[href^=\"otpauth:\"]').href")
    secret = re.search("secret=([A-Z2-7]{32})&", address).group(1)
    await browser.fill("#code", "000000")
    await browser.expect("This code is not right")
    await browser.picture("2-wrong")
    await browser.fill("#code", code(secret))
    codes = await browser.run("[...document.querySelectorAll('ol.codes code')].map((code) => code.innerText)")
    assert len(codes) == 10, codes
    await browser.picture("3-codes")
    await browser.act("document.querySelector('a.button').click()")
    await browser.expect("admin")
    return secret, codes


async def verify(browser, url, secret, codes):
    await sign_in(browser, url)
    await browser.go(f"{url}/admin")
    assert (await browser.path()) == "/.palisade/mfa?return=%2Fadmin", await browser.path()
    await browser.picture("4-verify")
    await browser.fill("#code", code(secret, 30))
    assert (await browser.path()) == "/admin"
    await sign_in(browser, url)
    await browser.go(f"{url}/admin")
    await browser.run("document.querySelector('details').open = true")
    await browser.picture("5-backup")
    await browser.fill("#backup", codes[0])
    assert (await browser.path()) == "/admin"


async def keys(browser, url):
    await browser.call("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "usb", "isUserVerified": True, "automaticPresenceSimulation": True}
    await browser.call("WebAuthn.addVirtualAuthenticator", options=options)
    await browser.go(f"{url}/.palisade/mfa/key")
    await browser.run("document.querySelector('#name').value = 'blue <key>'")
    await browser.picture("6-key")
    await browser.act("document.querySelector('[data-key]').click()")
    await browser.expect("The key was added.")
    await browser.go(f"{url}/.palisade/mfa")
    await browser.expect("blue <key>")
    await browser.expect("9 left")
    await browser.picture("7-home")
    await sign_in(browser, url)
    await browser.go(f"{url}/admin")
    await browser.picture("8-verify-key")
    await browser.act("document.querySelector('[data-key]').click()")
    assert (await browser.path()) == "/admin", await browser.shown()


async def languages(browser, url):
    await browser.call(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}]
    )
    for language in ["de", "ja", "ko", "zh-TW", "zh-CN"]:
        await browser.call("Network.setExtraHTTPHeaders", headers={"Accept-Language": language})
        await browser.go(f"{url}/.palisade/mfa")
        await browser.picture(f"9-{language}")
    await browser.call("Network.setExtraHTTPHeaders", headers={})


async def walk(endpoint, url, folder):
    async with websockets.connect(endpoint, max_size=None) as socket:
        browser = Browser(socket, folder)
        target = await browser.call("Target.createTarget", url="about:blank")
        attached = await browser.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        browser.session = attached["sessionId"]
        for domain in ["Page", "Runtime", "Log", "Network"]:
            await browser.call(f"{domain}.enable")
        await sign_in(browser, url)
        secret, codes = await enrol(browser, url)
        await verify(browser, url, secret, codes)
        await keys(browser, url)
        await languages(browser, url)
        # A wrong code is a 403, which browsers note; nothing else may be said.
        said = [entry for entry in browser.said if entry.get("source") != "network"]
        assert not said, said


def main():
    url, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program, "chromium is missing: run deploy/test.sh"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                     "--disable-background-networking", "--disable-component-update", "--window-size=900,1100",
                     "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            port = pathlib.Path(profile) / "DevToolsActivePort"
            end = time.monotonic() + PATIENCE
            while not (port.exists() and port.read_text().count("\n")):
                assert time.monotonic() < end and process.poll() is None, "chromium does not start"
                time.sleep(0.05)
            number, path = port.read_text().split("\n")[:2]
            asyncio.run(walk(f"ws://127.0.0.1:{number}{path}", url, folder))
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


main()
