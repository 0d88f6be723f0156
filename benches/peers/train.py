#!/usr/bin/env python3
"""Puts a gateway that was built to count under load: every scenario of the tables and the rules' kinds of requests, in turn.

    benches/peers/train.py --profile PROFILE     of target/PROFILE, which has palisade and load

For `deploy/build.sh`, which lays the final build out by what was counted. The gateway ends by SIGTERM, and so writes its counts.
"""

import argparse
import pathlib
import sys
import tempfile

import tools
import waf
from bench import Bench, say
from stand import ROOT, Load, raise_file_limit

PARTS = ["plain", "edge", "api", "tls", "h2", "websocket", "routes"]


def put(one, load, seconds):
    """Under this load; what answers with errors would be laid out for errors."""
    found = load.run(one.port, seconds)
    good, bad = found["good"]["count"], found["refused"]["count"] + found["broken"]
    if good < 10 * bad or not good:
        sys.exit(f"{one.kind}: not even nine in ten were answered: {found}")


def scenarios(bench):
    for part in PARTS:
        for scenario in getattr(bench.catalogue, part)():
            say(f"{scenario.name}: {scenario.request}")
            kinds = {"palisade", "bare"} & set(scenario.kinds)
            for kind in kinds if (bench.binaries / "bare").exists() else {"palisade"}:
                one = bench.start(kind, scenario.setup, bench.origin(scenario.origin))
                put(one, Load(bench.binaries, scenario.requests, **scenario.load), bench.seconds)
                one.end()


def rules(bench):
    """The built-in rules and Debian's Core Rule Set; values that come once, and values that come again."""
    folder = bench.fresh("rules")
    origin = bench.origin("nginx", waf.pages(folder))
    conf = waf.rules(folder, pathlib.Path("/usr/share/modsecurity-crs"), 1)
    for name, checks in (("built-in", f"{{check: waf, rules: [{ROOT}/policies/waf/*.yaml]}}"), ("crs", f"{{check: waf, rules: [{conf}]}}")):
        one = waf.palisade(name, bench.binaries, folder, origin, checks)
        bench.running.append(one)
        for kind, (make, size) in waf.KINDS.items():
            for values in ("fresh", "usual"):
                say(f"{name} rules: {kind}, {values}")
                load = Load(bench.binaries, waf.pool(folder, make, size, values), connections=8)
                put(one, load, bench.seconds)
        one.end()


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--profile", required=True)
    parse.add_argument("--seconds", type=float, default=3)
    options = parse.parse_args()
    options.quick, options.rounds = True, 1
    tools.install()
    raise_file_limit()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, pathlib.Path(folder))
        try:
            scenarios(bench)
            rules(bench)
        finally:
            bench.end()


if __name__ == "__main__":
    main()
