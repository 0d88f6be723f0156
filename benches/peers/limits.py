"""At the edges: the load profiles of ordinary, busy and stressed days, ten times too much, two workers, many connections."""

import socket
import time

import report
import waf as rules
from bench import Unanswered, measure, say
from proxies import Setup
from scenarios import BROWSER, SMALL, request
from stand import Load

PROFILES = {"normal": (100, 500), "peak": (1000, 5000), "stress": (5000, 25_000)}


def profiles(bench):
    """Users with a connection each, requests a minute among them."""
    seconds = 8 if bench.options.quick else 30
    pool = bench.catalogue.pool("profile", [request(BROWSER)])
    started = [bench.start(kind, bench.catalogue.setup(edge=True), bench.origin()) for kind in ("palisade", "nginx")]
    rows = []
    for name, (users, minute) in PROFILES.items():
        for one in started:
            say(f"profile {name}: {one.kind}")
            before = one.cpu()
            found = Load(bench.binaries, pool, connections=users).run(one.port, seconds, rate=minute / 60)
            share = (one.cpu() - before) / seconds
            good = found["good"]
            lost = found["due"] - good["count"]
            rows.append([
                f"{name}: {users:,} users, {minute:,} requests a minute", report.NAMES[one.kind], *(f"{good[key] / 1000:.2f}" for key in ("p50", "p99", "p999", "max")),
                f"{share * 100:.1f} %", f"{one.rss():.0f}", str(max(0, lost)),
            ])
    bench.stop()
    columns = ["profile", "proxy", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "of a core", "RSS MiB", "unanswered"]
    bench.sections.append(f"### Load profiles, edge chain, open loop, {seconds} s each\n\n" + report.table(columns, rows))


def overload(bench):
    """The Core Rule Set on JSON, which the load program can send ten times as fast as any proxy judges it."""
    folder = bench.fresh("overload")
    conf = rules.rules(folder, rules.pathlib.Path("/usr/share/modsecurity-crs"), 1)
    pool = rules.pool(folder, rules.document, 9 << 10)
    waf = f"waf, rules: [{conf}]"
    rows = []
    for queue in ("20ms", "0s"):
        policy = f'checks: {{it: {{check: {waf}}}}}\nroutes: [{{name: all, match: {{path: "/*"}}, to: app, use: [it], public: bench}}]\n'
        one = bench.start("palisade", Setup(policy=policy, limits=f", queue: {queue}"), bench.origin())
        rows.append([f"`queue: {queue}`", *overloaded(bench, queue, one, pool, {"connections": 400})])
        bench.stop()
    columns = [
        "way", "peak requests/s", "offered", "goodput", "of peak", "p99 unloaded ms", "p99 accepted ms", "ratio", "refused", "refusal p99 ms", "RSS before, after",
    ]
    bench.sections.append("### Ten times too much: CRS paranoia 1, JSON of 9 KB, one worker\n\n" + report.table(columns, rows))


def overloaded(bench, queue, one, pool, shape):
    say("overload")
    seconds = 4 if bench.options.quick else 15
    calm = Load(bench.binaries, pool, connections=2)
    peak = calm.run(one.port, 3)["good"]["count"] / 3
    unloaded = calm.run(one.port, seconds, rate=peak / 4)["good"]["p99"]
    before = one.rss()
    found = Load(bench.binaries, pool, **shape).run(one.port, seconds, rate=peak * 10)
    good, refused = found["good"], found["refused_from_sent"]
    goodput = good["count"] / found["seconds"]
    if queue != "0s":
        bench.hold("overload, ten times: goodput of peak", "≥ 80 %", f"{goodput / peak * 100:.0f} %", goodput >= 0.8 * peak)
        bench.hold("overload: p99 of what is accepted over unloaded", "≤ 3 ×", f"{good['p99'] / unloaded:.1f} ×", good["p99"] <= 3 * unloaded)
        bench.hold("overload: p99 of a refusal", "< 10 ms", f"{refused['p99'] / 1000:.1f} ms", 0 < refused["p99"] < 10_000)
    return [
        f"{peak:.0f}", f"{found['taken'] / found['seconds']:.0f}", f"{goodput:.0f}", f"{goodput / peak * 100:.0f} %", f"{unloaded / 1000:.1f}", f"{good['p99'] / 1000:.1f}",
        f"{good['p99'] / unloaded:.1f} ×", f"{refused['count']:,} ({found['told_when'] / max(1, refused['count']) * 100:.0f} % with Retry-After)", f"{refused['p99'] / 1000:.1f}" if refused["count"] else "none", f"{before:.0f}, {one.rss():.0f}",
    ]


def workers(bench):
    """Two workers against one, where the work is the gateway's: the load program and the application need little."""
    folder = bench.fresh("workers")
    conf = rules.rules(folder, rules.pathlib.Path("/usr/share/modsecurity-crs"), 1)
    policy = f'checks: {{it: {{check: waf, rules: [{conf}]}}}}\nroutes: [{{name: all, match: {{path: "/*"}}, to: app, use: [it], public: bench}}]\n'
    plain = 'routes: [{name: all, match: {path: "/*"}, to: app, public: bench}]\n'
    cases = {
        "small GET, no checks": (plain, bench.catalogue.pool("workers", [request(SMALL)])),
        "CRS, JSON of 9 KB": (policy, rules.pool(folder, rules.document, 9 << 10)),
    }
    rows = []
    for name, (text, pool) in cases.items():
        speeds, costs = [], []
        for threads in (1, 2):
            say(f"workers: {name}, {threads}")
            one, found = bench.start("palisade", Setup(policy=text, threads=threads), bench.origin()), {}
            for _ in range(bench.rounds):
                measure(one, Load(bench.binaries, pool, connections=32), bench.seconds, None, found)
            speeds.append(report.middle(found["throughput"]))
            costs.append(report.middle(found["cpu"]))
            bench.stop()
        bench.hold(f"two workers, {name}: throughput over one", "≥ 1.8 ×", f"{speeds[1] / speeds[0]:.2f} ×", speeds[1] >= 1.8 * speeds[0])
        rows.append([name, f"{speeds[0]:,.0f}", f"{speeds[1]:,.0f}", f"{speeds[1] / speeds[0]:.2f} ×", f"{costs[0]:.0f}, {costs[1]:.0f}"])
    columns = ["request", "one worker, requests/s", "two workers", "ratio", "CPU µs a request: one, two"]
    note = "Load program and application share the cores: where they need much beside the gateway, two workers have less than two cores.\n"
    bench.sections.append(f"### Two workers\n\n{report.table(columns, rows)}\n{note}")


def memory(bench):
    """RSS with connections that wait."""
    idle = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    partial = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Partial: 1\r\n"
    rows = []
    for kind in ("bare", "palisade", "nginx", "haproxy", "envoy"):
        say(f"memory: {kind}")
        sizes = []
        for count, data, answered in ((0, b"", False), (10_000, idle, True), (2_000, partial, False)):
            one = bench.start(kind, bench.catalogue.setup(edge=kind != "bare"), bench.origin())
            if not one:
                break
            sizes.append(waiting(one, count, data, answered))
            bench.stop()
        if sizes:
            each = (sizes[2] - sizes[0]) * 1024 / 2000
            if kind == "palisade":
                bench.hold("memory with 10,000 idle connections", "≤ 150 MiB", f"{sizes[1]:.0f} MiB", sizes[1] <= 150)
                bench.hold("memory of a connection with a partial header", "≤ 12 KiB", f"{each:.1f} KiB", each <= 12)
            rows.append([report.NAMES[kind], *(f"{size:.1f}" for size in sizes), f"{each:.1f}"])
    columns = ["proxy, edge chain", "RSS idle MiB", "10,000 idle connections", "2,000 partial headers", "KiB a partial header"]
    bench.sections.append("### Memory\n\n" + report.table(columns, rows))


def waiting(one, count, data, answered):
    kept = []
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", one.port), 10)
        sock.sendall(data)
        if answered and not sock.recv(4096).startswith(b"HTTP/1.1 200"):
            raise Unanswered(f"{one.kind}: an idle connection got no 200")
        kept.append(sock)
    time.sleep(1)
    size = one.rss()
    for sock in kept:
        sock.close()
    return size
