"""A real browser, over HTTP/2 and TLS, uses pages that were given tokens: with htmx, as XHTML, under a policy of nonces.

Arguments: the gateway's URL."""

import sys

from chromium import browsing


async def walk(browser, url):
    # htmx sends by itself, and goes where it is told when the session is over.
    for version in ("2", "4"):
        await browser.go(f"{url}/htmx{version}")
        assert await browser.run("performance.getEntriesByType('navigation')[0].nextHopProtocol") == "h2"
        await browser.run("document.querySelector('#save').click()")
        await browser.until("document.querySelector('#said').innerText === 'saved'")
        await browser.act("document.querySelector('#private').click()")
        assert await browser.path() == "/login?return=%2Fhtmx" + version, await browser.path()
    # What htmx puts into a page is a page, too: its form has a token.
    await browser.go(f"{url}/htmx2")
    await browser.run("document.querySelector('#more').click()")
    await browser.until("document.querySelector('#said form')")
    await browser.act("document.querySelector('#said form').submit()")
    await browser.expect("saved")
    # XML, which one tag too many would end.
    await browser.go(f"{url}/xhtml")
    assert await browser.run("document.contentType") == "application/xhtml+xml"
    assert await browser.run("document.querySelectorAll('parsererror').length") == 0
    assert await browser.run("fetch('/save', {method: 'POST', body: 'x'}).then((answer) => answer.status)") == 200
    await browser.act("document.querySelector('form').submit()")
    await browser.expect("saved")
    # Only what has the page's nonce may run, and the gateway's script has it.
    await browser.go(f"{url}/nonce")
    assert await browser.run("window.own === 1 && window.foreign === undefined")
    assert await browser.run("fetch('/save', {method: 'POST', body: 'x'}).then((answer) => answer.status)") == 200
    print("walked")


browsing(lambda browser: walk(browser, sys.argv[1]), more=["--ignore-certificate-errors"])
