"""The proxies under measurement and their equal configurations.

Fairness: one worker thread each; the same upstream over kept connections; kept client connections without a limit on their
requests; a line of log per request to a file (bare Pingora has none: it is the floor); the same networks, countries, limits, headers and
tokens where the proxy knows them. What a peer cannot do it does not do, and says so in `LACKS`: that is to its advantage.
"""

import dataclasses
import json
import pathlib

import tools
from stand import Process, free_port, program

LACKS = {
    "envoy": "Envoy: no country (its filter reads another database layout), one bucket for all clients instead of one each.",
    "nginx": "nginx: no JWT (commercial), so it is not in the API rows.",
}
NAMES = {
    "bare": "bare Pingora",
    "bare-trained": "bare Pingora, trained",
    "palisade": "Palisade",
    "nginx": "nginx",
    "haproxy": "HAProxy",
    "envoy": "Envoy",
    "pingap": "pingap",
    "zentinel": "zentinel",
}
DENIED = ["192.0.2.0/24", "198.51.100.0/24", "2001:db8::/32"]


@dataclasses.dataclass
class Setup:
    """What a scenario asks of every proxy."""

    edge: bool = False
    jwt: str | None = None  # RS256, ES256
    tls: bool = False
    h2: bool = False
    deny_file: pathlib.Path | None = None
    limit_header: str | None = None  # a limiter with a key of this header
    routes: int = 0  # so many before the one that matches
    websocket: bool = False
    policy: str | None = None  # Palisade alone: checks and routes in its own words
    limits: str = ""  # Palisade alone: more limits
    threads: int = 1
    folder: pathlib.Path = pathlib.Path()  # keys and lists
    countries: pathlib.Path = pathlib.Path()
    env: dict = dataclasses.field(default_factory=dict)


def start(kind, setup, binaries, folder, origin):
    """The proxy, listening; `None` when it does not know how."""
    made = {
        "bare": bare,
        "bare-trained": bare_trained,
        "palisade": palisade,
        "nginx": nginx,
        "haproxy": haproxy,
        "envoy": envoy,
        "pingap": pingap,
        "zentinel": zentinel,
    }[kind]
    own, port = folder / kind, free_port()
    own.mkdir()
    command = made(setup, binaries, own, port, origin)
    return Process(kind, command, own, port, setup.env, setup.threads) if command else None


def bare(setup, binaries, own, port, origin):
    """Checks nothing: beside proxies that check it is the floor."""
    return [binaries / "bare", f"127.0.0.1:{port}", f"127.0.0.1:{origin}", str(setup.threads)]


def bare_trained(setup, binaries, own, port, origin):
    """The same, built as `deploy/build.sh benches` builds Palisade."""
    found = binaries / "bare-trained"
    return [found, f"127.0.0.1:{port}", f"127.0.0.1:{origin}", str(setup.threads)] if found.exists() else None


def palisade(setup, binaries, own, port, origin):
    tls = ""
    if setup.tls:
        certs = tools.DEPS / "certs"
        tls = f", tls: {{certificates: [{{cert: {certs}/server.pem, key: {certs}/server.key}}]}}"
    text = f"""version: 1
listen: [{{address: "127.0.0.1:{port}"{tls}{", h2c: true" if setup.h2 and not setup.tls else ""}}}]
admin: {{address: "127.0.0.1:{free_port()}"}}
events: {{file: events.jsonl}}
limits: {{connections: 100000, connections_per_client: 100000, keepalive_requests: 1000000, header_deadline: 5m, idle_timeout: 5m{setup.limits}}}
upstreams: {{app: {{servers: ["127.0.0.1:{origin}"], keepalive: 256}}}}
"""
    text += setup.policy or palisade_checks(setup)
    (own / "policy.yaml").write_text(text)
    return [binaries / "palisade", "run", "--threads", str(setup.threads), own / "policy.yaml"]


def palisade_checks(setup):
    checks, used = [], []

    def check(name, text):
        checks.append(f"  {name}: {{check: {text}}}\n")
        used.append(name)

    if setup.edge:
        check("networks", f"ip, deny: {json.dumps(DENIED)}")
        check("country", f"geo, database: {setup.countries}, deny: {{countries: [KP]}}, unknown: allow")
        check("per-ip", "rate_limit, key: [ip], limit: 100000000/1m")
    if setup.deny_file:
        check("list", f"ip, deny_files: [{setup.deny_file}]")
    if setup.limit_header:
        check("per-key", f"rate_limit, key: ['header:{setup.limit_header}'], limit: 1000000/1m")
    if setup.jwt:
        check("token", f"jwt, jwks: {setup.folder}/{setup.jwt}.jwks, algorithms: [{setup.jwt}], issuer: 'https://login.example', forward: {{sub: X-User-Id}}")
        check("role", "authorize, role_from: role, role: {any: [user]}")
    if setup.edge:
        check("headers", "response_headers, set: {X-Content-Type-Options: nosniff, X-Frame-Options: DENY}, remove: [Server]")
    text = "roles: {user: {allow: [read]}}\n" if setup.jwt else ""
    text += "checks:\n" + "".join(checks) if checks else ""
    tail = f"to: app, use: [{', '.join(used)}]" + ("" if setup.jwt else ", public: bench")
    text += "routes:\n" + "".join(f"  - {{name: r{n}, match: {{path: /route-{n}/items}}, {tail}}}\n" for n in range(setup.routes))
    return text + f'  - {{name: all, match: {{path: "/*"}}, {tail}}}\n'


def nginx(setup, binaries, own, port, origin):
    if setup.jwt or setup.policy:
        return None
    load, http, server, location = "", "", "", ""
    if setup.edge:
        load = "load_module /usr/lib/nginx/modules/ngx_http_geoip2_module.so;\n"
        http += f"geoip2 {setup.countries} {{ $country default=XX source=$remote_addr country_code; }}\n"
        http += "limit_req_zone $binary_remote_addr zone=clients:100m rate=1000000r/s;\n"
        server += "".join(f"deny {network};\n" for network in DENIED) + 'if ($country = "KP") { return 403; }\n'
        server += "limit_req zone=clients burst=1000000 nodelay; proxy_hide_header Server;\n"
        server += "add_header X-Content-Type-Options nosniff; add_header X-Frame-Options DENY;\n"
    if setup.deny_file:
        include = own / "geo.conf"
        include.write_text("".join(f"{line} 1;\n" for line in setup.deny_file.read_text().split()))
        http += f"geo $denied {{ default 0; include {include}; }}\n"
        server += "if ($denied) { return 403; }\n"
    if setup.limit_header:
        variable = "$http_" + setup.limit_header.lower().replace("-", "_")
        http += f"limit_req_zone {variable} zone=keys:512m rate=1000r/s;\n"
        server += "limit_req zone=keys burst=1000000 nodelay;\n"
    up = 'proxy_set_header Connection "";'
    if setup.websocket:
        up = 'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; proxy_read_timeout 300s;'
    location = f"proxy_pass http://app; proxy_http_version 1.1; {up}"
    routes = "".join(f"location = /route-{n}/items {{ {location} }}\n" for n in range(setup.routes))
    listen = f"127.0.0.1:{port} backlog=4096" + (" ssl" if setup.tls else "") + (" http2" if setup.h2 else "")
    tls = ""
    if setup.tls:
        certs = tools.DEPS / "certs"
        tls = f"ssl_certificate {certs}/server.pem; ssl_certificate_key {certs}/server.key; ssl_session_tickets on;\n"
    temp = "".join(f"{kind}_temp_path {own}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (own / "nginx.conf").write_text(
        f"{load}daemon off; master_process off; worker_processes 1; pid {own}/pid; error_log {own}/error.log error;\n"
        "worker_rlimit_nofile 65536; events { worker_connections 50000; }\n"
        f"http {{ access_log {own}/access.log; keepalive_requests 100000000; http2_max_concurrent_streams 256; {temp}\n"
        f"client_max_body_size 16m; {http}upstream app {{ server 127.0.0.1:{origin}; keepalive 256; keepalive_requests 100000000; }}\n"
        f"server {{ listen {listen}; {tls}{server}{routes}location / {{ {location} }} }} }}\n"
    )
    return [program("nginx"), "-c", own / "nginx.conf"]


def haproxy(setup, binaries, own, port, origin):
    if setup.policy:
        return None
    rules = ""
    if setup.edge:
        (own / "deny.lst").write_text("\n".join(DENIED) + "\n")
        rules += f"  http-request deny if {{ src -f {own}/deny.lst }}\n"
        rules += f"  http-request deny if {{ src,map_ip({setup.folder}/countries.map,XX) -m str KP }}\n"
        rules += "  stick-table type ip size 1m expire 1m store http_req_rate(60s)\n  http-request track-sc0 src\n"
        rules += "  http-request deny deny_status 429 if { sc_http_req_rate(0) gt 100000000 }\n"
        rules += "  http-response set-header X-Content-Type-Options nosniff\n  http-response set-header X-Frame-Options DENY\n"
        rules += "  http-response del-header Server\n"
    if setup.deny_file:
        rules += f"  http-request deny if {{ src -f {setup.deny_file} }}\n"
    if setup.limit_header:
        rules += "  stick-table type string len 32 size 2m expire 10m store http_req_rate(60s)\n"
        rules += f"  http-request track-sc0 req.hdr({setup.limit_header})\n"
        rules += "  http-request deny deny_status 429 if { sc_http_req_rate(0) gt 1000000 }\n"
    if setup.jwt:
        rules += haproxy_token(setup)
    backends = f"backend app\n  http-reuse always\n  server app 127.0.0.1:{origin} pool-max-conn 256\n"
    if setup.routes:
        table = own / "routes.map"
        table.write_text("".join(f"/route-{n}/items app-{n}\n" for n in range(setup.routes)))
        rules += f"  use_backend %[path,map({table},app)]\n"
        backends += "".join(f"backend app-{n}\n  http-reuse always\n  server app 127.0.0.1:{origin}\n" for n in range(setup.routes))
    bind = f"127.0.0.1:{port} backlog 4096" + (f" ssl crt {tools.DEPS}/certs/both.pem" if setup.tls else "")
    if setup.h2:
        bind += " alpn h2,http/1.1" if setup.tls else " proto h2"
    (own / "haproxy.cfg").write_text(
        "global\n  nbthread 1\n  maxconn 60000\n  no strict-limits\n  log stdout format raw local0\n  tune.ssl.default-dh-param 2048\n"
        "defaults\n  mode http\n  log global\n  option httplog\n  timeout connect 2s\n  timeout client 300s\n  timeout server 300s\n"
        "  timeout tunnel 300s\n  option http-keep-alive\n"
        f"frontend all\n  bind {bind}\n{rules}  default_backend app\n{backends}"
    )
    return [program("haproxy"), "-db", "-f", own / "haproxy.cfg"]


def haproxy_token(setup):
    """Signature, expiry, issuer and role of a token, its subject as a header."""
    claim = "var(txn.token),jwt_payload_query('$.{}')".format
    key = f"{setup.folder}/{setup.jwt}.pem"
    lines = [
        "set-var(txn.token) http_auth_bearer",
        f"deny deny_status 401 unless {{ var(txn.token),jwt_header_query('$.alg') -m str {setup.jwt} }}",
        f"deny deny_status 401 unless {{ var(txn.token),jwt_verify(txn.alg,\"{key}\") -m int 1 }}",
        "set-var(txn.exp) var(txn.token),jwt_payload_query('$.exp','int')",
        "set-var(txn.now) date()",
        "deny deny_status 401 if { var(txn.exp),sub(txn.now) -m int lt 0 }",
        f"deny deny_status 401 unless {{ {claim('iss')} -m str https://login.example }}",
        f"deny unless {{ {claim('role')} -m str user }}",
        f"set-header X-User-Id %[{claim('sub')}]",
    ]
    # The algorithm is the policy's, not the token's.
    lines.insert(1, f"set-var(txn.alg) str({setup.jwt})")
    return "".join(f"  http-request {line}\n" for line in lines)


def envoy(setup, binaries, own, port, origin):
    if setup.deny_file or setup.limit_header or setup.policy or not tools.ENVOY.exists():
        return None
    import envoy_config

    (own / "envoy.json").write_text(json.dumps(envoy_config.document(setup, DENIED, own, port, origin)))
    return [tools.ENVOY, "-c", own / "envoy.json", "--concurrency", str(setup.threads), "--use-dynamic-base-id", "--log-level", "error"]


def pingap(setup, binaries, own, port, origin):
    found = tools.DEPS / "cargo/bin/pingap"
    if setup != Setup(folder=setup.folder, countries=setup.countries) or not found.exists():
        return None
    (own / "pingap.toml").write_text(
        f'[basic]\nthreads = 1\n[upstreams.app]\naddrs = ["127.0.0.1:{origin}"]\n'
        '[locations.all]\nupstream = "app"\npath = "/"\n'
        f'[servers.all]\naddr = "127.0.0.1:{port}"\nlocations = ["all"]\nthreads = 1\naccess_log = "combined"\n'
    )
    return [found, "-c", own / "pingap.toml"]


def zentinel(setup, binaries, own, port, origin):
    found = tools.DEPS / "cargo/bin/zentinel"
    if setup != Setup(folder=setup.folder, countries=setup.countries) or not found.exists():
        return None
    (own / "zentinel.kdl").write_text(
        'system {\n  worker-threads 1\n}\n'
        f'listeners {{\n  listener "all" {{\n    address "127.0.0.1:{port}"\n    protocol "http"\n  }}\n}}\n'
        'routes {\n  route "all" {\n    matches {\n      path-prefix "/"\n    }\n    upstream "app"\n  }\n}\n'
        f'upstreams {{\n  upstream "app" {{\n    target "127.0.0.1:{origin}" weight=1\n  }}\n}}\n'
    )
    return [found, "--config", own / "zentinel.kdl"]
