"""What is measured: for each scenario the proxies' set-up, the requests, how they travel, and at which rate latencies are taken."""

import dataclasses
import pathlib
import subprocess

import tools
from proxies import Setup
from stand import pool

EVERYONE = ["bare", "bare-trained", "palisade", "nginx", "haproxy", "envoy", "pingap", "zentinel"]
PEERS = ["palisade", "nginx", "haproxy", "envoy"]
BROWSER = """Host: localhost
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8
Accept-Language: en-US,en;q=0.5
Accept-Encoding: gzip, deflate, br, zstd
Referer: http://app.test/products?category=shoes&sort=price
Cookie: session=5f2b7c1d9e8a4f3b; theme=dark; _ga=GA1.2.1234567890.1700000000
Sec-Fetch-Dest: document
Sec-Fetch-Mode: navigate
Sec-Fetch-Site: same-origin
"""
SMALL = "Host: localhost\n"
# Twice what Palisade's cache of tokens holds: in turn, none of them is known when it comes again.
TOKENS, FEW = 20_000, 16


@dataclasses.dataclass
class Scenario:
    name: str
    request: str
    kinds: list
    setup: Setup
    requests: pathlib.Path
    rate: int  # a second, open loop
    load: dict = dataclasses.field(default_factory=dict)
    origin: str = "nginx"
    note: str = ""


def request(head, target="/products?id=42&sort=price", more=""):
    return f"GET {target} HTTP/1.1\n{head}{more}\n".replace("\n", "\r\n").encode()


def tokens(folder, algorithm):
    command = [tools.VENV / "bin/python", pathlib.Path(__file__).with_name("tokens.py"), folder, algorithm, str(TOKENS)]
    subprocess.run(command, check=True)
    return (folder / f"{algorithm}.tokens").read_text().split()


def country_map(database, folder):
    """The country database as HAProxy reads networks."""
    out = folder / "countries.map"
    if not out.exists():
        script = (
            "import maxminddb, sys\n"
            "for network, found in maxminddb.open_database(sys.argv[1]):\n"
            "    if found and 'country_code' in found: print(network, found['country_code'])\n"
        )
        command = [tools.VENV / "bin/python", "-c", script, database]
        out.write_text(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


class Catalogue:
    """Makes the scenarios; `work` is for the files of this run, `kept` for those that the next one can use."""

    def __init__(self, work, kept, countries, quick):
        self.work, self.kept, self.countries, self.quick = work, kept, countries, quick
        kept.mkdir(parents=True, exist_ok=True)

    def pool(self, name, requests):
        return pool(self.work / f"{name}.pool", requests)

    def setup(self, **more):
        return Setup(folder=self.kept, countries=self.countries, **more)

    def plain(self):
        for name, head in (("small", SMALL), ("browser", BROWSER)):
            yield Scenario("plain proxy", f"{name} GET", EVERYONE, self.setup(), self.pool(f"plain-{name}", [request(head)]), 4000)

    def edge(self):
        country_map(self.countries, self.kept)
        yield Scenario(
            "edge: networks, country, limit, headers", "browser GET", ["bare", *PEERS], self.setup(edge=True),
            self.pool("edge", [request(BROWSER)]), 4000,
        )

    def api(self):
        country_map(self.countries, self.kept)
        for algorithm in ("RS256", "ES256"):
            every = tokens(self.kept, algorithm)
            for label, some in ((f"{FEW} tokens", every[:FEW]), ("a new token each time", every)):
                requests = [request(SMALL, "/api/items", f"Authorization: Bearer {token}\n") for token in some]
                yield Scenario(
                    "API: edge, JWT, role", f"{algorithm}, {label}", ["bare", "palisade", "haproxy", "envoy"],
                    self.setup(edge=True, jwt=algorithm), self.pool(f"api-{algorithm}-{len(some)}", requests), 3000,
                )

    def tls(self):
        ca = {"ca": tools.DEPS / "certs/ca.pem"}
        one = self.pool("tls", [request(BROWSER)])
        yield Scenario("TLS 1.3, ECDSA P-256", "kept connections", PEERS, self.setup(tls=True), one, 3000, ca)
        new = ca | {"kind": "new", "connections": 16}
        yield Scenario("TLS 1.3, ECDSA P-256", "a new connection each", PEERS, self.setup(tls=True), one, 300, new)
        yield Scenario("TLS 1.3, ECDSA P-256", "a new connection each, resumed", PEERS, self.setup(tls=True), one, 300, new | {"resume": True})

    def h2(self):
        one = self.pool("h2", [request(BROWSER)])
        shape = {"kind": "h2", "connections": 4, "streams": 8}
        yield Scenario("HTTP/2, 4 connections of 8 streams", "without TLS", PEERS, self.setup(h2=True), one, 3000, shape)
        secure = shape | {"ca": tools.DEPS / "certs/ca.pem"}
        yield Scenario("HTTP/2, 4 connections of 8 streams", "TLS", PEERS, self.setup(h2=True, tls=True), one, 3000, secure)

    def websocket(self):
        key = "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n"
        one = self.pool("ws", [request(SMALL, "/live", key)])
        for size in (128, 16 << 10):
            yield Scenario(
                "WebSocket", f"a message of {size} bytes and its echo", PEERS, self.setup(websocket=True), one, 4000,
                {"kind": "ws", "message": size}, origin="echo",
            )

    def deny(self):
        count = 1_000_000
        file = self.work / "deny.txt"
        # Hosts of 11.0.0.0/8 that no range sums up.
        file.write_text("".join(f"{11}.{n >> 15 & 255}.{n >> 7 & 255}.{n << 1 & 254}\n" for n in range(count)))
        yield Scenario(
            "a list of 1,000,000 denied addresses", "small GET", ["palisade", "nginx", "haproxy"], self.setup(deny_file=file),
            self.pool("deny", [request(SMALL)]), 3000,
        )

    def keys(self):
        count = 100_000 if self.quick else 1_000_000
        requests = (request(SMALL, "/", f"X-Client: {n * 2654435761 % 2**32:08x}\n") for n in range(count))
        yield Scenario(
            f"limiter, {count:,} keys", "small GET", ["palisade", "nginx", "haproxy"], self.setup(limit_header="X-Client"),
            self.pool("keys", requests), 3000, note="fill",
        )

    def routes(self):
        for count in (1, 1000):
            one = self.pool(f"routes-{count}", [request(SMALL, f"/route-{n}/items") for n in range(0, count, max(1, count // 100))])
            yield Scenario(f"{count:,} routes", "small GET", PEERS, self.setup(routes=count), one, 3000)
