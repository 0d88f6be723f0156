"""Palisade's own sessions, by where they live: memory, a file, Redis."""

import socket
import subprocess

import report
import tools
from bench import measure, say
from proxies import Setup
from scenarios import SMALL, request
from stand import Load, free_port, wait_port

CHECKS = """
checks:
  shop:
    check: session
    cookie: session
    secure: false
    start: {request: POST /login, user: form.email, withhold: [], passed: {status: 302}}
    login: /login
routes:
  - {name: login, match: {path: /login}, to: app, use: [shop], with: {shop: {optional: true}}, public: "where people log in"}
  - {name: all, match: {path: "/*"}, to: app, use: [shop]}
"""
# The application's answer to a log-in.
ORIGIN = "location = /login { return 302 /home; }"


def log_in(port, user):
    """The cookie of a new session."""
    body = f"email=user{user}@shop.example&password=x".encode()
    head = f"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.sendall(head.encode() + body)
        answer = b""
        while b"\r\n\r\n" not in answer:
            got = sock.recv(4096)
            if not got:
                raise SystemExit(f"no answer to a log-in: {answer}")
            answer += got
    cookies = [line.split(":", 1)[1].split(";")[0].strip() for line in answer.decode().split("\r\n") if line.lower().startswith("set-cookie:")]
    if not cookies:
        raise SystemExit(f"a log-in began no session: {answer.decode()}")
    return "; ".join(cookies)


def redis(folder):
    port = free_port()
    command = [tools.redis_server(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder]
    with (folder / "redis.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log)
    wait_port(port, server)
    return port, server


def sessions(bench):
    folder = bench.fresh("redis")
    port, server = redis(folder)
    origin = bench.origin("nginx", ORIGIN)
    secret = {"PALISADE_BENCH_SEAL": "a secret of the benches, longer than thirty-two bytes"}
    seal = "secrets: {seal: {env: PALISADE_BENCH_SEAL}}\n"
    stores = {
        "memory": "",
        "file": f"state: {{kind: file, path: {folder}/state.redb, seal: seal}}\n{seal}",
        "Redis": f"state: {{kind: redis, urls: ['redis://127.0.0.1:{port}/0'], seal: seal, timeout: 1s}}\n{seal}",
    }
    results = {}
    try:
        users = 200
        started = {}
        for store, state in stores.items():
            setup = Setup(policy=state + CHECKS, env=secret)
            one = bench.start("palisade", setup, origin)
            cookies = [log_in(one.port, user) for user in range(users)]
            requests = [request(SMALL, "/account", f"Cookie: {cookie}\n") for cookie in cookies]
            started[store] = (one, Load(bench.binaries, bench.catalogue.pool(f"session-{store}", requests)))
        plain = bench.start("bare", Setup(), origin)
        started["bare Pingora"] = (plain, Load(bench.binaries, bench.catalogue.pool("session-none", [request(SMALL, "/account")])))
        for _ in range(bench.rounds):
            for store, (one, load) in started.items():
                say(f"sessions: {store}")
                measure(one, load, bench.seconds, 2000, results.setdefault(store, {}))
    finally:
        server.kill()
        server.wait()
    results = {"bare" if store == "bare Pingora" else store: found for store, found in results.items()}
    results = {"bare": results.pop("bare")} | results
    bench.sections.append(report.comparison(f"sessions of Palisade's own, {users} of them, by store", {"small GET": results}))
    bench.sections.append("CPU is the gateway's alone; Redis spends its own.\n")
