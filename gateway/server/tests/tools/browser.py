"""A real browser walks through second factors. Arguments: the gateway's URL, and a folder for what is seen on the way.

Codes are made by `cryptography`, security keys by the browser's virtual authenticator. Fails when a page says anything to
the console: what the content security policy blocks is told there.
"""

import base64
import pathlib
import re
import sys
import time

from chromium import browsing
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP


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
    first = await browser.call("WebAuthn.addVirtualAuthenticator", options=options)
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
    return first["authenticatorId"]


PROGRAM = """
  const ask = async (path, body) => {
    const headers = {Accept: "application/json", ...(body && {"Content-Type": "application/json"})};
    const answer = await fetch("/.palisade/mfa" + path, {headers, method: body ? "POST" : "GET", body: body && JSON.stringify(body)});
    return {status: answer.status, ...(await answer.json())};
  };
"""


async def program(browser, url, first):
    """An application that draws its own pages: the same keys, over JSON."""
    await sign_in(browser, url)
    proven = await browser.run(f"""(async () => {{ {PROGRAM}
      const state = await ask("");
      const options = PublicKeyCredential.parseRequestOptionsFromJSON(state.ask.webauthn.publicKey);
      const key = await navigator.credentials.get({{publicKey: options}});
      return [state.proven, state.enrolled.webauthn[0].name, await ask("/key/verify", {{answer: key.toJSON()}})];
    }})()""")
    assert proven[:2] == [False, "blue <key>"], proven
    assert proven[2] == {"status": 200, "done": "proven", "return": ""}, proven
    # The one that is known must not be registered again.
    await browser.call("WebAuthn.removeVirtualAuthenticator", authenticatorId=first)
    options = {"protocol": "ctap2", "transport": "internal", "isUserVerified": True, "automaticPresenceSimulation": True}
    await browser.call("WebAuthn.addVirtualAuthenticator", options=options)
    added = await browser.run(f"""(async () => {{ {PROGRAM}
      const options = PublicKeyCredential.parseCreationOptionsFromJSON((await ask("/key")).publicKey);
      const key = await navigator.credentials.create({{publicKey: options}});
      const done = await ask("/key", {{answer: key.toJSON(), name: "second"}});
      const known = (await ask("")).enrolled.webauthn;
      return [done, known.map((key) => key.name), await ask("/key/remove", {{key: known[1].id}})];
    }})()""")
    assert added == [{"status": 200, "done": "webauthn"}, ["blue <key>", "second"], {"status": 200, "done": "removed"}], added


async def languages(browser, url):
    await browser.call(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}]
    )
    for language in ["de", "ja", "ko", "zh-TW", "zh-CN"]:
        await browser.call("Network.setExtraHTTPHeaders", headers={"Accept-Language": language})
        await browser.go(f"{url}/.palisade/mfa")
        await browser.picture(f"9-{language}")
    await browser.call("Network.setExtraHTTPHeaders", headers={})


async def walk(browser):
    url = sys.argv[1]
    await sign_in(browser, url)
    secret, codes = await enrol(browser, url)
    await verify(browser, url, secret, codes)
    first = await keys(browser, url)
    await program(browser, url, first)
    await languages(browser, url)
    # A wrong code is a 403, which browsers note; nothing else may be said.
    said = [entry for entry in browser.said if entry.get("source") != "network"]
    assert not said, said


browsing(walk, pathlib.Path(sys.argv[2]))
