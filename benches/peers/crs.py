"""The Core Rule Set at paranoia 1: Palisade beside nginx + ModSecurity, the same files and settings."""

import pathlib

import report
import waf as rules
from bench import Unanswered, measure, say
from stand import Load, Process, free_port

# Requests a second of the open loop: what nginx + ModSecurity can still answer.
RATES = {"GET, 3": 100, "form": 50, "JSON": 4, "XML": 15, "multipart, a file, 9": 60, "multipart, a file, 1 MB": 3, "GET, answered": 80}
CRS = pathlib.Path("/usr/share/modsecurity-crs")
NAMES = {"palisade-plain": "Palisade, no checks", "palisade": "Palisade, CRS", "modsecurity": "nginx + ModSecurity, CRS"}


def rate(kind):
    return next(rate for name, rate in RATES.items() if kind.startswith(name))


def waf(bench):
    folder = bench.fresh("crs")
    origin = bench.origin("nginx", rules.pages(folder))
    conf = rules.rules(folder, CRS, 1)
    port = free_port()
    bare = Process("bare", [bench.binaries / "bare", f"127.0.0.1:{port}", f"127.0.0.1:{origin}"], folder, port)
    bench.running += [
        bare,
        rules.palisade("palisade-plain", bench.binaries, folder, origin, ""),
        rules.palisade("palisade", bench.binaries, folder, origin, f"{{check: waf, rules: [{conf}]}}"),
        rules.modsecurity("modsecurity", folder, origin, conf),
    ]
    results, missed = {}, []
    for kind, (make, size) in rules.KINDS.items():
        say(f"WAF: {kind}")
        load = Load(bench.binaries, rules.pool(folder, make, size, "fresh"), connections=8)
        for _ in range(bench.rounds):
            for one in bench.running:
                try:
                    into = results.setdefault(kind, {}).setdefault(one.kind, {})
                    measure(one, load, bench.seconds, rate(kind), into)
                except Unanswered as why:
                    missed.append(str(why))
                    results[kind].pop(one.kind)
    bench.stop()
    known = dict(report.NAMES)
    report.NAMES.update(NAMES)
    hold(bench, results)
    rows = []
    for kind, by_kind in results.items():
        if "palisade" in by_kind and "modsecurity" in by_kind:
            ours, theirs = (report.middle(by_kind[name]["cpu"]) for name in ("palisade", "modsecurity"))
            rows.append([kind, f"{ours:.0f}", f"{theirs:.0f}", f"{theirs / ours:.0f} ×"])
    name = "WAF: Debian's Core Rule Set at paranoia 1, values that never repeat"
    bench.sections += [report.comparison(name, results), report.table(["request", "Palisade µs", "nginx + ModSecurity µs", "ratio"], rows)]
    bench.sections += [f"Not measured: {why}\n" for why in missed]
    bench.charts["waf"] = report.bars(name, {kind: costs for kind, costs in results.items() if not kind.startswith("JSON")})
    bench.sections.append(f"![{name}](charts/waf.svg)\n")
    # Other parts have other checks under these names.
    report.NAMES.clear()
    report.NAMES.update(known)


# ModSecurity's cost over Palisade's, at least.
TIMES = {"GET, 3": 20, "form": 28, "JSON": 80}


def hold(bench, results):
    for kind, by_kind in results.items():
        costs = {name: report.middle(found["cpu"]) for name, found in by_kind.items()}
        if kind.startswith("GET, 3") and "palisade" in costs and "bare" in costs:
            ratio = costs["palisade"] / costs["bare"]
            bench.hold("CRS, GET: CPU against bare Pingora", "≤ 2.5 ×", f"{ratio:.2f} ×", ratio <= 2.5)
        for name, least in TIMES.items():
            if kind.startswith(name) and "palisade" in costs and "modsecurity" in costs:
                ratio = costs["modsecurity"] / costs["palisade"]
                bench.hold(f"CRS, {kind}: ModSecurity's CPU over Palisade's", f"≥ {least} ×", f"{ratio:.0f} ×", ratio >= least)
