"""A real browser logs in at an OpenID provider, over TLS and between two sites, and out again. Arguments: the gateway's TLS
port, the provider's URL, a folder for what is seen on the way."""

import pathlib
import sys

from chromium import browsing

SHOP = "https://shop.example"


async def place(browser):
    return await browser.run("location.origin + location.pathname + location.search")


async def at_provider(browser, provider):
    found = await place(browser)
    assert found.startswith(f"{provider}/interaction/"), found


async def walk(browser):
    provider = sys.argv[2]
    await browser.go(f"{SHOP}/orders?a=1&b=2")
    await at_provider(browser, provider)
    await browser.picture("oidc-1-provider")
    await browser.fill("[name=login]", "ann")
    assert await place(browser) == f"{SHOP}/orders?a=1&b=2", await place(browser)
    # Neither the session nor what the log-in kept is any script's to read.
    assert await browser.run("document.cookie") == ""
    cookies = (await browser.call("Network.getCookies", urls=[f"{SHOP}/", f"{SHOP}/.palisade/login/callback"]))["cookies"]
    assert [cookie["name"] for cookie in cookies] == ["__Host-session"], cookies
    assert all(cookie["secure"] and cookie["httpOnly"] and cookie["sameSite"] == "Lax" for cookie in cookies), cookies
    # Every further page is had without the provider.
    await browser.go(f"{SHOP}/write")
    assert await place(browser) == f"{SHOP}/write"
    await browser.go(f"{SHOP}/.palisade/logout")
    await browser.picture("oidc-2-logout")
    await browser.act("document.querySelector('form').requestSubmit(document.querySelector('form button')); 0")
    found = await place(browser)
    assert found.startswith(f"{provider}/session/end"), found
    await browser.act("document.querySelector('[name=logout]').click()")
    assert await place(browser) == f"{SHOP}/.palisade/logout", await place(browser)
    await browser.expect("You are signed out")
    await browser.picture("oidc-3-out")
    await browser.go(f"{SHOP}/orders")
    await at_provider(browser, provider)
    said = [entry for entry in browser.said if entry.get("source") != "network"]
    assert not said, said
    print("walked")


more = [f"--host-resolver-rules=MAP shop.example:443 127.0.0.1:{sys.argv[1]}", "--ignore-certificate-errors"]
browsing(walk, pathlib.Path(sys.argv[3]), more)
