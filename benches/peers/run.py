#!/usr/bin/env python3
"""CPU per request and memory of Palisade beside a bare Pingora proxy, in one go, as a Markdown table.

One worker thread each, the same nginx behind them, wrk in front over kept connections on loopback. CPU is user plus
system time of the proxy's process (/proc/PID/stat) divided by the requests that were answered. Rounds alternate, so
that what else the machine does hits everyone; the median round counts.

    benches/peers/run.py                  builds the release profile and measures everything
    benches/peers/run.py --profile fast   a quicker build
    benches/peers/run.py --rounds 3 --seconds 4 --only cpu
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from stand import ROOT, Process, build, free_port, nginx, program, raise_file_limit, wait_port

DEPS = pathlib.Path(os.environ.get("PALISADE_TEST_DEPS", ROOT / "target/test-deps"))
COUNTRIES = DEPS / "npm/node_modules/@ip-location-db/geo-whois-asn-country-mmdb/geo-whois-asn-country.mmdb"
SECRET = "a secret of the benches, longer than thirty-two bytes"
BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Referer": "http://app.test/products?category=shoes&sort=price",
    "Cookie": "session=5f2b7c1d9e8a4f3b; theme=dark; _ga=GA1.2.1234567890.1700000000",
    "Upgrade-Insecure-Requests": "1",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "same-origin",
}


def token():
    def b64(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    text = b64(b'{"alg":"HS256","typ":"JWT"}') + "." + b64(
        json.dumps({"sub": "alice", "exp": int(time.time()) + 86400, "role": "user", "token_type": "access"}).encode()
    )
    return text + "." + b64(hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).digest())


CHECKS = """
checks:
  bans:      {{check: bans}}
  networks:  {{check: ip, deny: [192.0.2.0/24, 198.51.100.0/24, "2001:db8::/32"]}}
  country:   {{check: geo, database: {countries}, deny: {{countries: [KP]}}, unknown: allow}}
  per-ip:    {{check: rate_limit, key: [ip], limit: 100000000/1m}}
  token:     {{check: jwt, secret: jwt, algorithms: [HS256], require: {{token_type: access}}, forward: {{sub: X-User-Id}}}}
  headers:   {{check: response_headers, set: {{X-Content-Type-Options: nosniff, X-Frame-Options: DENY}},
              set_if_absent: {{Content-Security-Policy: "default-src 'self'"}}, remove: [Server]}}
{waf}
"""


def policy(kind, listen, admin, origin):
    text = f"""version: 1
listen: [{{address: "127.0.0.1:{listen}"}}]
admin: {{address: "127.0.0.1:{admin}"}}
events: {{file: events.jsonl}}
limits: {{connections: 100000, connections_per_client: 100000, keepalive_requests: 1000000, header_deadline: 5m, idle_timeout: 5m}}
upstreams: {{app: {{servers: ["127.0.0.1:{origin}"]}}}}
"""
    if kind == "plain":
        return text + 'routes: [{name: all, match: {path: "/*"}, to: app, public: bench}]\n'
    waf = "  builtin:   {check: waf, rules: [waf/*.yaml]}" if kind == "waf" else ""
    used = "bans, networks, country, per-ip, token, headers" + (", builtin" if waf else "")
    return (
        text
        + "secrets: {jwt: {env: PALISADE_BENCH_JWT}}"
        + CHECKS.format(countries=COUNTRIES, waf=waf)
        + f'routes: [{{name: all, match: {{path: "/*"}}, to: app, use: [{used}]}}]\n'
    )


def proxy(kind, binaries, folder, origin):
    port, own = free_port(), folder / kind
    own.mkdir()
    if kind == "bare":
        command = [binaries / "bare", f"127.0.0.1:{port}", f"127.0.0.1:{origin}"]
    else:
        (own / "policy.yaml").write_text(policy(kind, port, free_port(), origin))
        shutil.copytree(ROOT / "policies/waf", own / "waf")
        command = [binaries / "palisade", "run", "--threads", "1", own / "policy.yaml"]
    return Process(kind, command, own, port, {"PALISADE_BENCH_JWT": SECRET})


def load(proxy, headers, seconds):
    command = [program("wrk"), "-t1", "-c32", f"-d{seconds}s"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    before = proxy.cpu()
    out = subprocess.run(
        command + [f"http://127.0.0.1:{proxy.port}/products?id=42&sort=price"], capture_output=True, text=True, check=True
    ).stdout
    used = proxy.cpu() - before
    if "Non-2xx" in out or "Socket errors" in out:
        sys.exit(f"{proxy.kind}: not every request was answered with 200\n{out}")
    requests = int(re.search(r"(\d+) requests in", out)[1])
    return used / requests * 1e6, requests / seconds


def connections(proxy, count, data, answered):
    kept = []
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", proxy.port), 10)
        sock.sendall(data)
        if answered:
            if not sock.recv(4096).startswith(b"HTTP/1.1 200"):
                sys.exit("an idle connection got no 200")
        kept.append(sock)
    time.sleep(2)
    rss = proxy.rss()
    for sock in kept:
        sock.close()
    return rss


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--profile", default="release")
    parse.add_argument("--rounds", type=int, default=5)
    parse.add_argument("--seconds", type=int, default=5)
    parse.add_argument("--no-build", action="store_true", help="measure the binaries that are there")
    parse.add_argument("--only", choices=["cpu", "memory"])
    options = parse.parse_args()
    if not COUNTRIES.exists():
        sys.exit(f"{COUNTRIES} is missing: run deploy/test.sh install")
    if not options.no_build:
        build(options.profile)
    binaries = ROOT / "target" / options.profile
    raise_file_limit()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        origin = free_port()
        server = nginx(folder, origin)
        wait_port(origin, server)
        proxies = []
        try:
            if options.only != "memory":
                proxies = [proxy(kind, binaries, folder, origin) for kind in ("bare", "plain", "checks", "waf")]
                cpu(proxies, options)
                for one in proxies:
                    one.stop()
                    shutil.rmtree(folder / one.kind)
            if options.only != "cpu":
                memory(binaries, folder, origin, proxies)
        finally:
            for one in proxies:
                one.stop()
            server.kill()
            server.wait()


NAMES = {
    "bare": "bare Pingora",
    "plain": "Palisade, no checks",
    "checks": "Palisade: bans, ip, geo, limit, jwt, headers, metrics, events",
    "waf": "the same and the built-in WAF",
}


def cpu(proxies, options):
    api = {"Host": "app.test", "Authorization": f"Bearer {token()}"}
    shapes = {"small": api, "browser": api | BROWSER}
    results = {}
    for one in proxies:
        load(one, api, 1)
    for number in range(options.rounds):
        for shape, headers in shapes.items():
            for one in proxies:
                results.setdefault((shape, one.kind), []).append(load(one, headers, options.seconds))
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
    print("\n| request | proxy | CPU per request, µs (median; lowest to highest round) | against bare | requests a second |")
    print("|---|---|---|---|---|")
    for (shape, kind), rounds in results.items():
        costs = [cost for cost, _ in rounds]
        middle = statistics.median(costs)
        bare = statistics.median(cost for cost, _ in results[shape, "bare"])
        speed = statistics.median(rate for _, rate in rounds)
        print(
            f"| {shape} GET | {NAMES[kind]} | {middle:.1f} ({min(costs):.1f} to {max(costs):.1f}) "
            f"| {middle / bare:.2f} × | {speed:.0f} |"
        )


def memory(binaries, folder, origin, proxies):
    idle = b"GET / HTTP/1.1\r\nHost: app.test\r\nAuthorization: Bearer " + token().encode() + b"\r\n\r\n"
    partial = b"GET / HTTP/1.1\r\nHost: app.test\r\nX-Partial: 1\r\n"
    print("\n| proxy | RSS idle, MiB | with 10,000 idle connections | with 2,000 partial headers |")
    print("|---|---|---|---|")
    for kind in NAMES:
        row = []
        for count, data, answered in ((0, b"", False), (10_000, idle, True), (2_000, partial, False)):
            one = proxy(kind, binaries, folder, origin)
            proxies.append(one)
            row.append(connections(one, count, data, answered))
            one.stop()
            shutil.rmtree(folder / kind)
        print(f"| {NAMES[kind]} | {row[0]:.1f} | {row[1]:.1f} | {row[2]:.1f} |")


if __name__ == "__main__":
    main()
