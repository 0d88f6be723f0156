"""A real browser reads pages that were given tokens. Arguments: the gateway's URL, and how many soups of tags to read.

Of every form that Chromium's parser makes of a soup, the token must be among what is sent if the form goes to its own
origin by POST and no button sends it elsewhere, and must not be there if any way leads elsewhere. The first is told, for
some soups are given nothing on purpose; the second must hold.
"""

import sys

from chromium import browsing

JUDGE = """
async (number) => {
  const text = await (await fetch("/?soup=" + number, {headers: {Accept: "text/html"}})).text();
  const shown = new DOMParser().parseFromString(text, "text/html");
  const base = [...shown.querySelectorAll("base[href]")].find((one) => one instanceof HTMLBaseElement);
  const start = base ? new URL(base.getAttribute("href"), location.href).href : location.href;
  const goes = (written) => { try { return new URL(written, start).origin; } catch { return "nowhere"; } };
  const result = {good: 0, given: 0, wrong: []};
  const roots = [shown];
  const forms = [];
  while (roots.length) {
    const root = roots.pop();
    for (const form of root.querySelectorAll("form")) if (form instanceof HTMLFormElement) forms.push(form);
    for (const template of root.querySelectorAll("template")) if (template.content) roots.push(template.content);
  }
  for (const form of forms) {
    if (form.namespaceURI !== "http://www.w3.org/1999/xhtml") continue;
    const action = form.getAttribute("action");
    const own = !action || goes(action) === location.origin;
    const controls = [...form.elements];
    const away = controls.some((control) => control.hasAttribute("formaction") && !control.disabled
      && control.getAttribute("formaction") && goes(control.getAttribute("formaction")) !== location.origin);
    const post = form.method === "post";
    const token = controls.some((control) => control.name === "csrf_token");
    if (own && post && !away) { result.good += 1; result.given += token ? 1 : 0; }
    if (token && (!own || !post || away)) result.wrong.push(text);
  }
  return result;
}
"""


async def walk(browser, url, count):
    await browser.go(f"{url}/")
    assert await browser.run("document.querySelector('form').elements.csrf_token.value.length") == 150
    good = given = 0
    for first in range(0, count, 250):
        script = f"(async () => {{ const judge = {JUDGE}; const all = []; for (let n = {first}; n < {min(first + 250, count)}; n++) all.push(await judge(n)); return all; }})()"
        for result in await browser.run(script):
            assert not result["wrong"], result["wrong"][0]
            good, given = good + result["good"], given + result["given"]
    assert given > good / 4, f"{given} of {good}"
    print(f"{given} of {good} good forms with the token")
    await browser.act("document.querySelector('button').click()")
    await browser.expect("saved")
    await browser.go(f"{url}/")
    assert await browser.run("fetch('/save', {method: 'POST', body: 'b'}).then((answer) => answer.status)") == 200
    assert await browser.run(
        "new Promise((done) => { const one = new XMLHttpRequest(); one.open('PUT', '/save');"
        " one.onload = () => done(one.status); one.send('c'); })"
    ) == 200
    other = url.replace("localhost", "127.0.0.1")
    sent = f"fetch('{other}/foreign', {{method: 'POST', body: 'd'}}).then((answer) => 0, () => 1)"
    assert await browser.run(sent) == 1


browsing(lambda browser: walk(browser, sys.argv[1], int(sys.argv[2])))
