#!/usr/bin/env python3
"""Everything beside its peers, in one go: Markdown tables and SVG charts.

    benches/peers/all.py                       installs the peers, builds the release profile, measures everything
    benches/peers/all.py --quick               the same in shorter rounds
    benches/peers/all.py --only api --only edge  some of it (--list names the parts)
    benches/peers/all.py --write               puts the tables into benches/README.md and the charts into benches/charts

CPU is user plus system time of the proxy's process and its children (/proc/PID/stat) divided by the requests it answered under a closed loop;
latencies are taken afterwards under an open loop at a fixed rate, from the moment a request was due. Proxies take turns within a round,
so that what else the machine does hits everyone; the median round counts.
"""

import argparse
import datetime
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import time

import extra
import report
import tools
from bench import Bench, Unanswered, say
from stand import CORES, ROOT, build, raise_file_limit, stand_apart

README, CHARTS = ROOT / "benches/README.md", ROOT / "benches/charts"
PARTS = ["plain", "edge", "api", "tls", "h2", "websocket", "deny", "keys", "routes"]
EXTRA = ["sessions", "waf", "profiles", "growth", "overload", "workers", "memory"]


def compared(bench, part):
    """A part that compares proxies scenario by scenario."""
    by_name = {}
    for scenario in getattr(bench.catalogue, part)():
        say(f"{scenario.name}: {scenario.request}")
        by_name.setdefault(scenario.name, {})[scenario.request] = bench.compare(scenario)
    hold(bench, part, by_name)
    for name, results in by_name.items():
        bench.sections.append(report.comparison(name, results))
        bench.charts[part] = report.bars(name, results)
        bench.sections.append(f"![{name}](charts/{part}.svg)\n")


# Against bare Pingora in the same run: the part, words that its requests have, and the most.
FLOORS = [("plain", "browser", 1.05), ("edge", "browser", 1.2), ("api", "16 tokens", 1.3)]


def hold(bench, part, by_name):
    for results in by_name.values():
        for request, found in results.items():
            costs = {kind: report.middle(one["cpu"]) for kind, one in found.items()}
            for own, word, most in FLOORS:
                if own == part and word in request and "bare" in costs and "palisade" in costs:
                    ratio = costs["palisade"] / costs["bare"]
                    bench.hold(f"{part}, {request}: CPU against bare Pingora", f"≤ {most} ×", f"{ratio:.2f} ×", ratio <= most)
            if part == "api" and "envoy" in costs and "palisade" in costs:
                ratio = costs["palisade"] / costs["envoy"]
                bench.hold(f"{part}, {request}: CPU against Envoy", "≤ 0.50 ×", f"{ratio:.2f} ×", ratio <= 0.5)


def targets(bench):
    if not bench.targets:
        return ""
    return "### Targets\n\n" + report.table(["what", "target", "this run", ""], bench.targets)


def heading(bench, took):
    commit = subprocess.run(["git", "-C", ROOT, "log", "-1", "--format=%h"], capture_output=True, text=True).stdout.strip()
    load = pathlib.Path("/proc/loadavg").read_text().split()[0]
    cores = len(CORES)
    command = shlex.join(["benches/peers/all.py", *sys.argv[1:]])
    return (
        f"`{command}`, {datetime.date.today()}, commit {commit}, `{bench.options.profile}` profile, {cores} cores, load average at the end "
        f"{load}, {bench.rounds} rounds of {bench.seconds} s, {took / 60:.0f} minutes.\n"
    )


def write(bench, text):
    CHARTS.mkdir(exist_ok=True)
    for name, chart in bench.charts.items():
        (CHARTS / f"{name}.svg").write_text(chart)
    readme = README.read_text()
    block = f"<!-- tables: written by all.py --write -->\n{text}<!-- end of tables -->"
    README.write_text(re.sub(r"<!-- tables.*<!-- end of tables -->", lambda _: block, readme, flags=re.S))


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--only", action="append", choices=PARTS + EXTRA, metavar="PART")
    parse.add_argument("--list", action="store_true", help="name the parts")
    parse.add_argument("--quick", action="store_true", help="two rounds of a second")
    parse.add_argument("--rounds", type=int)
    parse.add_argument("--seconds", type=float)
    parse.add_argument("--profile", default="release")
    parse.add_argument("--no-build", action="store_true", help="measure the binaries that are there")
    parse.add_argument("--crates", action="store_true", help="build pingap and zentinel, too (twenty minutes and more)")
    parse.add_argument("--out", type=pathlib.Path, default=ROOT / "target/peers", help="folder for report.md and the charts")
    parse.add_argument("--write", action="store_true", help="into benches/README.md as well")
    options = parse.parse_args()
    if options.list:
        return print("\n".join(PARTS + EXTRA))
    tools.install(options.crates)
    if not options.no_build:
        build(options.profile)
    raise_file_limit()
    stand_apart()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, pathlib.Path(folder))
        try:
            for part in options.only or PARTS + EXTRA:
                try:
                    compared(bench, part) if part in PARTS else getattr(extra, part)(bench)
                except Unanswered as why:
                    bench.sections.append(f"`{part}` could not be measured: {why}\n")
                    say(why)
                bench.stop()
        finally:
            bench.end()
    text = "\n".join([heading(bench, time.monotonic() - began), targets(bench), *bench.sections])
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "report.md").write_text(text)
    for name, chart in bench.charts.items():
        (options.out / f"{name}.svg").write_text(chart)
    if options.write:
        write(bench, text)
    print(text)


if __name__ == "__main__":
    main()
