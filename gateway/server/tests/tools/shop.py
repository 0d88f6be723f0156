"""A real browser in the shop of `palisade demo`, which has a log-in form and nothing else, behind the policy that protects
it. Arguments: the gateway's URL, and a folder for what is seen on the way."""

import base64
import pathlib
import re
import sys
import time

from chromium import browsing
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP


def code(secret, later=0):
    return TOTP(base64.b32decode(secret), 6, SHA1(), 30).generate(time.time() + later).decode()


async def sign_in(browser, user, password="correct horse"):
    await browser.run(f"document.querySelector('[name=user]').value = '{user}'")
    await browser.run(f"document.querySelector('[name=password]').value = '{password}'")
    await browser.act("document.querySelector('form').requestSubmit(); 0")


async def press(browser, words):
    script = f"[...document.querySelectorAll('button')].find((one) => one.innerText === '{words}').click()"
    await browser.act(script)


async def user(browser, url):
    await browser.go(f"{url}/account")
    assert (await browser.path()) == "/login?return=%2Faccount", await browser.path()
    assert await browser.run("getComputedStyle(document.querySelector('nav')).display") == "flex"
    await browser.picture("shop-1-login")
    await sign_in(browser, "noa", "wrong")
    await browser.expect("Wrong user or password")
    await browser.picture("shop-2-wrong")
    await sign_in(browser, "noa")
    await browser.expect("Hello noa")
    # The page that answers the log-in belongs to the session that began with it.
    await press(browser, "Buy tea")
    await browser.expect("One tea is on its way to noa")
    await browser.go(f"{url}/")
    await browser.picture("shop-3-goods")
    tokens = "[...document.forms].map((form) => [form.method, 'csrf_token' in form.elements].join())"
    assert await browser.run(tokens) == ["get,false", "post,true", "post,true", "post,true"]
    await browser.go(f"{url}/account")
    await browser.run("document.querySelector('[name=address]').value = '1 Elm Street'")
    await press(browser, "Save")
    await browser.expect("Parcels go to 1 Elm Street from now on")
    await browser.picture("shop-4-account")
    # A request that none of the shop's forms makes.
    assert await browser.run("fetch('/account', {method: 'POST', body: new URLSearchParams({address: 'x'})}).then((a) => a.status)") == 403
    await browser.go(f"{url}/admin")
    await browser.expect("Access denied")
    await browser.picture("shop-5-denied")
    await browser.go(f"{url}/.palisade/sessions")
    await browser.expect("You are signed in as noa.")
    assert await browser.run("document.title") == "Your sessions"
    await browser.picture("shop-6-sessions")
    await browser.go(f"{url}/account")
    await press(browser, "Log out")
    await browser.expect("Goodbye")
    await browser.go(f"{url}/account")
    assert (await browser.path()).startswith("/login?"), await browser.path()


async def admin(browser, url):
    await browser.go(f"{url}/login")
    await sign_in(browser, "mia")
    await browser.expect("Hello mia")
    await browser.go(f"{url}/admin")
    assert (await browser.path()) == "/.palisade/mfa/enrol?return=%2Fadmin", await browser.path()
    await browser.picture("shop-7-enrol")
    address = await browser.run("document.querySelector('a[href^=\"otpauth:\"]').href")
    secret = re.search("secret=([A-Z2-7]{32})&", address).group(1)
    await browser.fill("#code", code(secret))
    codes = await browser.run("[...document.querySelectorAll('ol.codes code')].map((code) => code.innerText)")
    assert len(codes) == 10, codes
    await browser.act("document.querySelector('a.button').click()")
    await browser.expect("Everything that only admins should see")
    await browser.picture("shop-8-admin")
    await browser.go(f"{url}/account")
    await press(browser, "Log out")
    # Another session proves it again, and is led back to what it wanted.
    await browser.go(f"{url}/login")
    await sign_in(browser, "mia")
    await press(browser, "Buy tea")
    assert (await browser.path()).startswith("/.palisade/mfa?return="), await browser.path()
    await browser.picture("shop-9-step-up")
    await browser.fill("#code", code(secret, 30))
    await browser.go(f"{url}/")
    await press(browser, "Buy")
    await browser.expect("One tea is on its way to mia")
    await browser.go(f"{url}/admin")
    await browser.expect("Everything that only admins should see")
    await browser.go(f"{url}/account")
    await press(browser, "Log out")


async def guesser(browser, url):
    for _ in range(3):
        await browser.go(f"{url}/login")
        await sign_in(browser, "mia", "guess")
    await browser.go(f"{url}/login")
    await sign_in(browser, "mia", "correct horse")
    await browser.expect("Too many attempts")
    await browser.picture("shop-10-locked")


async def walk(browser):
    url = sys.argv[1]
    await user(browser, url)
    await admin(browser, url)
    await guesser(browser, url)
    # Refusals are noted by browsers; nothing else may be said, such as what a Content-Security-Policy blocks.
    said = [entry for entry in browser.said if entry.get("source") != "network"]
    assert not said, said
    print("walked")


browsing(walk, pathlib.Path(sys.argv[2]))
