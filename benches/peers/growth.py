"""How cost grows: with the body, its parameters, rules, list entries, routes and keys. CPU µs a request of Palisade."""

import random
from math import log

import report
import waf as rules
from bench import measure, say
from proxies import Setup
from scenarios import SMALL, request
from stand import Load

CRS = "/usr/share/modsecurity-crs"
ROUTE = 'routes: [{name: all, match: {path: "/*"}, to: app, use: [it], public: bench}]\n'
KEPT = {"connections": 16}
# What the order of a curve may be: cost ~ size^order between neighbouring sizes.
LINEAR, FLAT = 1.1, 0.1


def waf_policy(conf):
    limits = 'directives: "SecArgumentsLimit 100000", body: {inspect: 2MiB}'
    return f"checks: {{it: {{check: waf, rules: [{conf}], {limits}}}}}\n{ROUTE}"


def bodies(bench):
    """By size of a body, for each kind."""
    folder = bench.fresh("rules")
    policy = waf_policy(rules.rules(folder, rules.pathlib.Path(CRS), 1))
    sizes = [1 << 10, 8 << 10, 64 << 10] if bench.options.quick else [1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10]
    for name, make in rules.GROWTH.items():
        if name != "HTML answer":
            yield f"{name} body, bytes", LINEAR, policy, {size: rules.pool(folder, make, size) for size in sizes}


def parameters(bench):
    """By the number of arguments, all of the same length."""
    folder = bench.fresh("parameters")
    policy = waf_policy(rules.rules(folder, rules.pathlib.Path(CRS), 1))
    pools = {}
    for count in (4, 32, 256):
        requests = []
        for number in range(400):
            dice = random.Random(number)
            body = "&".join(f"field{n}={dice.getrandbits(40):010x}" for n in range(count)).encode()
            head = f"POST /form HTTP/1.1\nHost: localhost\nContent-Type: application/x-www-form-urlencoded\nContent-Length: {len(body)}\n\n"
            requests.append(head.replace("\n", "\r\n").encode() + body)
        pools[count] = bench.catalogue.pool(f"parameters-{count}", requests)
    yield "form fields", LINEAR, policy, pools


def rule_counts(bench):
    """By the number of rules that nothing matches, one phrase each."""
    get = rules.pool(bench.fresh("get"), rules.get, 0)
    for count in (100, 1000, 5000):
        folder = bench.fresh(f"rules-{count}")
        dice = random.Random(count)
        lines = ["SecRuleEngine On"]
        for number in range(count):
            word = "".join(dice.choice("bcdfghjklmnpqrstvwxz") for _ in range(9))
            lines.append(f'SecRule ARGS|REQUEST_HEADERS "@rx (?i){word}\\s*=" "id:{number + 1},phase:2,deny,t:none,t:urlDecodeUni"')
        (folder / "own.conf").write_text("\n".join(lines) + "\n")
        yield "rules", LINEAR, f"checks: {{it: {{check: waf, rules: [{folder}/own.conf]}}}}\n{ROUTE}", {count: get}


def lists(bench):
    """By the entries of a list of networks."""
    one = bench.catalogue.pool("one", [request(SMALL)])
    for count in (1_000, 30_000, 1_000_000):
        file = bench.fresh(f"list-{count}") / "deny.txt"
        file.write_text("".join(f"11.{n >> 15 & 255}.{n >> 7 & 255}.{n << 1 & 254}\n" for n in range(count)))
        yield "list entries", FLAT, f"checks: {{it: {{check: ip, deny_files: [{file}]}}}}\n{ROUTE}", {count: one}


def routes(bench):
    for count in (1, 100, 1000):
        pool = bench.catalogue.pool(f"growth-routes-{count}", [request(SMALL, f"/route-{n}/items") for n in range(0, count, max(1, count // 100))])
        text = "".join(f"  - {{name: r{n}, match: {{path: /route-{n}/items}}, to: app, public: bench}}\n" for n in range(count))
        yield "routes", FLAT, f"routes:\n{text}", {count: pool}


def keys(bench):
    most = 100_000 if bench.options.quick else 1_000_000
    policy = f"checks: {{it: {{check: rate_limit, key: ['header:X-Client'], limit: 1000000/1m}}}}\n{ROUTE}"
    for count in (100, most // 30, most):
        requests = (request(SMALL, "/", f"X-Client: {n * 2654435761 % 2**32:08x}\n") for n in range(count))
        yield "limiter keys", FLAT, policy, {count: bench.catalogue.pool(f"growth-keys-{count}", requests)}


def growth(bench):
    origin = bench.origin()
    curves, allowed = {}, {}
    for part in (bodies, parameters, rule_counts, lists, routes, keys):
        for name, order, policy, pools in part(bench):
            one = bench.start("palisade", Setup(policy=policy), origin)
            for size, pool in pools.items():
                say(f"growth: {name} {size}")
                load, into = Load(bench.binaries, pool, **KEPT), {}
                # Keys have to be there before they cost anything.
                load.run(one.port, size / 20_000 + 0.5 if name == "limiter keys" else 0.5)
                for _ in range(bench.rounds):
                    measure(one, load, bench.seconds, None, into)
                curves.setdefault(name, []).append((size, report.middle(into["cpu"])))
            allowed[name] = order
            bench.stop()
    rows = []
    for name, line in curves.items():
        # The steepest part of the curve: a fixed cost in front hides nothing there.
        order = max(log(high / low) / log(last / first) for (first, low), (last, high) in zip(line, line[1:]))
        verdict = "flat" if order <= FLAT else "below linear" if order < 1 else "linear" if order <= LINEAR else "**worse than linear**"
        most = "flat" if allowed[name] == FLAT else "linear at most"
        bench.hold(f"growth with {name}", most, f"size^{order:.2f}", order <= allowed[name])
        rows.append([name, ", ".join(f"{size:,}: {cost:.0f}" for size, cost in line), f"size^{order:.2f}: {verdict}"])
    bench.sections.append("### Growth\n\n" + report.table(["what grows", "CPU µs a request", "order where it is steepest"], rows))
    chart = report.curves("CPU µs a request against size, logarithmic", "(bytes, fields, rules, entries, routes, keys)", curves)
    bench.charts["growth"] = chart
    bench.sections.append("![growth](charts/growth.svg)\n")
