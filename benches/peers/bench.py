"""One run: its options, its processes, what it found; and how one proxy is measured."""

import os
import pathlib
import sys
import time

import proxies
import scenarios
import tools
from stand import ROOT, Load, echo, free_port, nginx, wait_port

COUNTRIES = "npm/node_modules/@ip-location-db/geo-whois-asn-country-mmdb/geo-whois-asn-country.mmdb"


class Bench:
    """One run: its options, its processes, what it found."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.binaries = ROOT / "target" / options.profile
        self.rounds = options.rounds or (2 if options.quick else 3)
        self.seconds = options.seconds or (1 if options.quick else 3)
        self.running, self.charts, self.sections, self.targets, self.number = [], {}, [], [], 0
        deps = pathlib.Path(os.environ.get("PALISADE_TEST_DEPS", ROOT / "target/test-deps"))
        self.countries = deps / COUNTRIES
        self.catalogue = scenarios.Catalogue(folder, tools.DEPS / "kept", self.countries, options.quick)
        self.origins = {}

    def origin(self, kind="nginx", more=""):
        """The port of an application behind: `nginx` says hello, `echo` sends WebSocket messages back."""
        if (kind, more) not in self.origins:
            own = self.fresh(f"origin-{kind}")
            port = free_port()
            server = nginx(own, port, more) if kind == "nginx" else echo(self.binaries, port)
            wait_port(port, server)
            self.origins[kind, more] = (port, server)
        return self.origins[kind, more][0]

    def fresh(self, name):
        self.number += 1
        own = self.folder / f"{self.number}-{name}"
        own.mkdir()
        return own

    def start(self, kind, setup, origin):
        found = proxies.start(kind, setup, self.binaries, self.fresh(kind), origin)
        if found:
            self.running.append(found)
        return found

    def stop(self):
        while self.running:
            self.running.pop().stop()

    def end(self):
        self.stop()
        for _, server in self.origins.values():
            server.kill()
            server.wait()

    def hold(self, what, target, measured, held):
        """Notes a target and whether this run met it."""
        self.targets.append([what, target, measured, "met" if held else "**missed**"])

    def compare(self, scenario):
        """Measures every proxy that knows the scenario, in turn."""
        origin = self.origin(scenario.origin)
        load = Load(self.binaries, scenario.requests, **scenario.load)
        found = {}
        started = [one for one in (self.start(kind, scenario.setup, origin) for kind in scenario.kinds) if one]
        fill = None
        if scenario.note == "fill":  # once through the whole pool
            fill = 8 if self.options.quick else 45
        for one in started:
            load.run(one.port, fill or 0.5)
        for _ in range(self.rounds):
            for one in started:
                measure(one, load, self.seconds, scenario.rate, found.setdefault(one.kind, {}))
        self.stop()
        return found


def measure(one, load, seconds, rate, into):
    """Adds a round; `rate` is that of the open loop, `None` for cost alone."""
    before = one.cpu()
    closed = load.run(one.port, seconds)
    used = max(one.cpu() - before, 1 / os.sysconf("SC_CLK_TCK"))  # no finer than this is known
    bad = {status: count for status, count in closed["statuses"].items() if int(status) >= 400}
    good = closed["good"]["count"]
    if bad or closed["broken"] > good // 1000 or not good:
        raise Unanswered(f"{one.kind}: not every request was answered: {closed}")
    values = {"cpu": used / good * 1e6, "throughput": good / closed["seconds"], "rss": one.rss()}
    if rate:
        paced = load.run(one.port, seconds + 1, rate=rate)
        values |= {key: paced["good"][key] for key in ("p50", "p99", "p999")}
    for key, value in values.items():
        into.setdefault(key, []).append(value)
    into["rate"] = rate


class Unanswered(Exception):
    pass


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
