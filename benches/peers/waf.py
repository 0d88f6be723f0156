#!/usr/bin/env python3
"""What the Core Rule Set costs: Palisade beside nginx + ModSecurity and a bare Pingora proxy, as Markdown tables.

The same rule files, settings and requests for both, one worker each, the same nginx behind them, load in front. CPU is user
plus system time of the proxy's process divided by the answered requests; rounds alternate, the median counts. Blocking mode;
the anomaly threshold is out of reach, so that what higher paranoia levels hold against ordinary requests does not cut their
evaluation short. What differs from one request to the next (`--values`), out of a pool of up to 4,000:

    fresh      every argument, cookie and header, as of clients that come once (what counts)
    usual      arguments, cookies and the referer: a browser at work
    repeated   nothing: one request over and over, as load generators send it

    benches/peers/waf.py                             Debian's modsecurity-crs (apt-get install modsecurity-crs libnginx-mod-http-modsecurity)
    benches/peers/waf.py --crs ~/coreruleset         a checkout of another version
    benches/peers/waf.py --only kinds --paranoia 1   one part of it
    benches/peers/waf.py --only growth               cost against the size of a body
    benches/peers/waf.py --values usual              one browser; may be given several times, for a table each
"""

import argparse
import json
import os
import pathlib
import random
import statistics
import sys
import tempfile

import stand
from stand import ROOT, Load, Process, build, free_port, nginx, program, raise_file_limit, stand_apart, wait_port

MODULE = pathlib.Path("/usr/lib/nginx/modules/ngx_http_modsecurity_module.so")
WORDS = """account address amount available billing blue board book camera category change color comment company contact
content country customer date delivery description detail discount display email event family field first forum garden
green group history holiday image invoice item kitchen language last library light list local mail market member message
mobile month music name network note number office option order page paper payment phone photo place plan point post price
product profile project question rating record region report result review room sample school search season section
service session shop size sort source sport state status stock store street student style subject summer support table
team text theme ticket time title topic total tour town track travel update user value video view visit water week weight
white window winter word work year yellow""".split()
BROWSER = """Host: {shop}
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:{version}.0) Gecko/20100101 Firefox/{version}.0
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.{quality}
Accept-Language: en-US,en;q=0.{language}
Accept-Encoding: gzip, deflate, br, zstd{coding}
Referer: http://shop.example/products?category={category}&sort=price
Upgrade-Insecure-Requests: 1
Sec-Fetch-Dest: document
Sec-Fetch-Mode: navigate
Sec-Fetch-Site: same-origin
"""
VALUES = ["repeated", "usual", "fresh"]
PAGE = 8 << 10


def word(dice):
    return dice.choice(WORDS)


def value(dice):
    """What people and programs put into fields: a word, a number, a short sentence, an address, an identifier."""
    kind = dice.random()
    if kind < 0.35:
        return word(dice) + str(dice.randrange(100))
    if kind < 0.6:
        return str(dice.randrange(10**8))
    if kind < 0.8:
        return " ".join(word(dice) for _ in range(dice.randrange(2, 7)))
    if kind < 0.9:
        return f"{word(dice)}.{word(dice)}@{word(dice)}.example"
    return f"{dice.getrandbits(64):016x}"


def escaped(text):
    return text.replace(" ", "+").replace("@", "%40")


def get(dice, _):
    return "GET", f"/products?id={dice.randrange(10**6)}&q={escaped(value(dice))}&sort={word(dice)}", "", b""


def form(dice, size):
    fields, length = [], 0
    while length < size or len(fields) < 20:
        field = f"{word(dice)}{len(fields)}={escaped(value(dice))}"
        if size <= 1024 and len(fields) == 19:
            field += "x" * max(0, size - length - len(field))
        fields.append(field)
        length += len(field) + 1
        if size <= 1024 and len(fields) == 20:
            break
    return "POST", "/order", "application/x-www-form-urlencoded", "&".join(fields).encode()


def document(dice, size):
    rows, length = [], 0
    while length < size:
        row = {f"{word(dice)}": value(dice) for _ in range(5)}
        rows.append(row)
        length += len(json.dumps(row)) + 2
    return "POST", "/api/items", "application/json", json.dumps({"items": rows}).encode()


def upload(dice, size):
    mark = f"----boundary{dice.getrandbits(48):012x}"
    parts = [f'Content-Disposition: form-data; name="{word(dice)}{n}"\r\n\r\n{value(dice)}' for n in range(4)]
    text = dice.randbytes(max(16, size - 600)).hex()[: max(16, size - 600)]
    parts.append(f'Content-Disposition: form-data; name="file"; filename="{word(dice)}.txt"\r\nContent-Type: text/plain\r\n\r\n{text}')
    body = "".join(f"--{mark}\r\n{part}\r\n" for part in parts) + f"--{mark}--\r\n"
    return "POST", "/upload", f"multipart/form-data; boundary={mark}", body.encode()


def xml(dice, size):
    items, length = [], 0
    while length < size:
        name = word(dice)
        items.append(f'<{name} key="{word(dice)}">{value(dice)}</{name}>')
        length += len(items[-1])
    return "POST", "/soap", "text/xml", f'<?xml version="1.0"?><list>{"".join(items)}</list>'.encode()


def page(dice, size):
    return "GET", f"/page-{size}?id={dice.randrange(10**6)}", "", b""


KINDS = {
    "GET, 3 parameters, 2 cookies": (get, 0),
    "form, 20 fields, 1 KB": (form, 1 << 10),
    "JSON, 9 KB": (document, 9 << 10),
    "multipart, a file, 9 KB": (upload, 9 << 10),
    "XML, 9 KB": (xml, 9 << 10),
    "GET, answered with 8 KB of HTML": (page, PAGE),
    "multipart, a file, 1 MB": (upload, 1 << 20),
}
SIZES = [1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20]
GROWTH = {"form": form, "JSON": document, "multipart": upload, "XML": xml, "HTML answer": page}


def browser(dice, number, values):
    """The headers of one browser, or of one that no request before came from."""
    category = f"{word(dice)}{number}" if values != "repeated" else "shoes"
    if values != "fresh":
        return BROWSER.format(shop="shop.example", version=128, quality=8, language=5, coding="", category=category)
    return BROWSER.format(
        shop=f"shop{number}.example",
        version=1000 + number,
        quality=number % 1000,
        language=number * 7 % 1000,
        coding=f";q=0.{number * 11 % 1000}",
        category=category,
    )


def request(make, size, number, values):
    dice = random.Random(0 if values == "repeated" else number)
    method, target, kind, body = make(dice, size)
    cookie = f"Cookie: session={dice.getrandbits(128):032x}; theme={word(dice)}{dice.randrange(1000)}\n"
    head = f"{method} {target} HTTP/1.1\n{browser(dice, number, values)}{cookie}"
    if kind:
        head += f"Content-Type: {kind}\nContent-Length: {len(body)}\n"
    return head.replace("\n", "\r\n").encode() + b"\r\n" + body


def pool(folder, make, size, values="fresh"):
    """A file of requests that differ as `values` says."""
    count = 1 if values == "repeated" else max(20, min(4000, (32 << 20) // max(size, 1)))
    handle, name = tempfile.mkstemp(dir=folder)
    os.close(handle)
    return stand.pool(pathlib.Path(name), (request(make, size, number, values) for number in range(count)))


def rules(folder, crs, paranoia, engine="On"):
    """One file for both engines: engine settings, set-up, every rule."""
    setup = next((file for file in (crs / "crs-setup.conf", crs / "crs-setup.conf.example") if file.exists()), None)
    if setup is None and crs == pathlib.Path("/usr/share/modsecurity-crs"):
        setup = pathlib.Path("/etc/modsecurity/crs/crs-setup.conf")
    if setup is None or not list(crs.glob("rules/*.conf")):
        sys.exit(f"{crs}: no crs-setup.conf(.example) and rules/*.conf there")
    levels = ",".join(
        f"setvar:tx.{name}={paranoia}"
        for name in ("paranoia_level", "executing_paranoia_level", "blocking_paranoia_level", "detection_paranoia_level")
    )
    path = folder / f"crs-{paranoia}.conf"
    path.write_text(
        f"SecRuleEngine {engine}\nSecRequestBodyAccess On\nSecRequestBodyLimit 13107200\nSecRequestBodyNoFilesLimit 13107200\n"
        "SecResponseBodyAccess On\nSecResponseBodyMimeType text/plain text/html text/xml application/json\n"
        "SecResponseBodyLimit 4194304\nSecAuditEngine Off\nSecRequestBodyJsonDepthLimit 64\n"
        'SecRule REQUEST_HEADERS:Content-Type "^(?:application(?:/soap\\+|/)|text/)xml" '
        '"id:200000,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"\n'
        'SecRule REQUEST_HEADERS:Content-Type "^application/json" '
        '"id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"\n'
        f"Include {setup}\n"
        f'SecAction "id:899990,phase:1,pass,nolog,t:none,{levels},'
        'setvar:tx.inbound_anomaly_score_threshold=1000000,setvar:tx.outbound_anomaly_score_threshold=1000000"\n'
        f"Include {crs}/rules/*.conf\n"
    )
    return path


def policy(listen, origin, checks):
    text = f"""version: 1
listen: [{{address: "127.0.0.1:{listen}"}}]
admin: {{address: "127.0.0.1:{free_port()}"}}
events: {{file: events.jsonl}}
limits: {{keepalive_requests: 1000000}}
upstreams: {{app: {{servers: ["127.0.0.1:{origin}"]}}}}
"""
    if checks:
        text += f"checks: {{waf: {checks}}}\n"
    used = ", use: [waf]" if checks else ""
    return text + f'routes: [{{name: all, match: {{path: "/*"}}, to: app{used}, public: bench}}]\n'


def palisade(name, binaries, folder, origin, checks):
    own, port = folder / name, free_port()
    own.mkdir()
    (own / "policy.yaml").write_text(policy(port, origin, checks))
    return Process(name, [binaries / "palisade", "run", "--threads", "1", own / "policy.yaml"], own, port)


def modsecurity(name, folder, origin, conf):
    own, port = folder / name, free_port()
    own.mkdir()
    temp = "".join(f"{kind}_temp_path {own}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (own / "nginx.conf").write_text(
        f"load_module {MODULE};\ndaemon off; master_process off; worker_processes 1; pid {own}/pid; error_log {own}/error.log error;\n"
        "events { worker_connections 10000; }\n"
        f"http {{ access_log off; keepalive_requests 100000000; client_max_body_size 16m; client_body_buffer_size 2m; {temp}\n"
        f"upstream app {{ server 127.0.0.1:{origin}; keepalive 64; }}\n"
        f"server {{ listen 127.0.0.1:{port}; modsecurity on; modsecurity_rules_file {conf};\n"
        'location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; } } }\n'
    )
    return Process(name, [program("nginx"), "-c", own / "nginx.conf"], own, port)


class Refused(Exception):
    """Not every request was answered with 200."""


def load(proxy, requests, binaries, seconds):
    before = proxy.cpu()
    out = Load(binaries, requests, connections=8).run(proxy.port, seconds)
    used = proxy.cpu() - before
    good = out["good"]["count"]
    if not good or out["refused"]["count"]:
        raise Refused(f"{proxy.kind}: not every request was answered with 200\n{out}")
    return used / good * 1e6


def measure(proxies, scripts, binaries, options):
    """Median CPU per request, by (script, proxy)."""
    results = {}
    for number in range(options.rounds):
        for name, script in scripts.items():
            for proxy in proxies:
                results.setdefault((name, proxy.kind), []).append(load(proxy, script, binaries, options.seconds))
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
    return {key: (statistics.median(costs), min(costs), max(costs)) for key, costs in results.items()}


def show(cost):
    middle, low, high = cost
    return f"{middle:.0f} ({low:.0f} to {high:.0f})"


def kinds(folder, binaries, origin, options, proxies):
    levels, varieties = options.paranoia or [1, 2, 3, 4], options.values or ["fresh"]
    scripts = {
        (name, values): pool(folder, make, size, values)
        for values in varieties
        for name, (make, size) in KINDS.items()
        if not options.kind or name.startswith(tuple(options.kind))
    }
    port = free_port()
    own = folder / "bare"
    own.mkdir()
    proxies.append(Process("bare", [binaries / "bare", f"127.0.0.1:{port}", f"127.0.0.1:{origin}"], own, port))
    proxies.append(palisade("no-checks", binaries, folder, origin, ""))
    for level in levels:
        conf = rules(folder, options.crs, level)
        proxies.append(palisade(f"palisade-{level}", binaries, folder, origin, f"{{check: waf, rules: [{conf}]}}"))
        if not options.no_modsecurity:
            proxies.append(modsecurity(f"modsecurity-{level}", folder, origin, conf))
    results = measure(proxies, scripts, binaries, options)
    print("\n| request | values | paranoia | bare Pingora | Palisade, no checks | Palisade | nginx + ModSecurity | ModSecurity / Palisade |")
    print("|---|---|---|---|---|---|---|---|")
    for script in scripts:
        for level in levels:
            ours, theirs = results[script, f"palisade-{level}"], results.get((script, f"modsecurity-{level}"))
            cells = [*script, str(level), show(results[script, "bare"]), show(results[script, "no-checks"]), show(ours)]
            cells += [show(theirs), f"{theirs[0] / ours[0]:.0f} ×"] if theirs else ["", ""]
            print("| " + " | ".join(cells) + " |")
    for proxy in proxies:
        print(f"{proxy.kind}: RSS {proxy.rss():.0f} MiB", file=sys.stderr)


def growth(folder, binaries, origin, options, proxies):
    conf = rules(folder, options.crs, 1)
    checks = f'{{check: waf, rules: [{conf}], directives: "SecArgumentsLimit 100000", body: {{inspect: 2MiB}}}}'
    proxies.append(palisade("growth", binaries, folder, origin, checks))
    print("\n| body | " + " | ".join(f"{size >> 10} KB" for size in SIZES) + " | µs per KB, smallest and largest |")
    print("|---|" + "---|" * (len(SIZES) + 1))
    for kind, make in GROWTH.items():
        cells, per = [], []
        for size in SIZES:
            try:
                cost = load(proxies[0], pool(folder, make, size), binaries, options.seconds)
            except Refused:
                # More work than the budget of one request.
                cells.append("refused")
                continue
            cells.append(f"{cost:.0f}")
            per.append(f"{cost / (size >> 10):.1f}")
        print(f"| {kind} | " + " | ".join(cells) + f" | {per[0]}, {per[-1]} |", flush=True)


def pages(folder):
    """What the application answers for /page-SIZE."""
    root = folder / "pages"
    root.mkdir()
    dice = random.Random(1)
    for size in {*SIZES, PAGE}:
        text = "<!doctype html><title>shop</title>"
        while len(text) < size:
            text += f"<p class={word(dice)}>{value(dice)}</p>\n"
        (root / f"page-{size}").write_text(text[:size])
    return f"root {root}; default_type text/html; location /page- {{ }}"


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--crs", type=pathlib.Path, default=pathlib.Path("/usr/share/modsecurity-crs"))
    parse.add_argument("--profile", default="release")
    parse.add_argument("--rounds", type=int, default=3)
    parse.add_argument("--seconds", type=int, default=2)
    parse.add_argument("--paranoia", type=int, action="append", choices=[1, 2, 3, 4])
    parse.add_argument("--no-build", action="store_true", help="measure the binaries that are there")
    parse.add_argument("--no-modsecurity", action="store_true")
    parse.add_argument("--only", choices=["kinds", "growth"])
    parse.add_argument("--values", action="append", choices=VALUES, help="what differs between requests (of kinds)")
    parse.add_argument("--kind", action="append", help="only the kinds that begin so")
    options = parse.parse_args()
    options.crs = options.crs.resolve()
    if not MODULE.exists() and not options.no_modsecurity:
        sys.exit(f"{MODULE} is missing: apt-get install libnginx-mod-http-modsecurity, or --no-modsecurity")
    if not options.no_build:
        build(options.profile)
    raise_file_limit()
    stand_apart()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        origin = free_port()
        server = nginx(folder, origin, pages(folder))
        wait_port(origin, server)
        binaries, proxies = ROOT / "target" / options.profile, []
        try:
            for part in (kinds, growth):
                if options.only in (None, part.__name__):
                    part(folder, binaries, origin, options, proxies)
                while proxies:
                    proxies.pop().stop()
        except Refused as why:
            sys.exit(str(why))
        finally:
            for proxy in proxies:
                proxy.stop()
            server.kill()
            server.wait()


if __name__ == "__main__":
    main()
