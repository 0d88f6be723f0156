#!/usr/bin/env python3
"""Which rules of the Core Rule Set match in Palisade's engine, and which in libmodsecurity, on the same requests.

The requests are those of a checkout's regression suite and mutations of them (coding, case, place, type, length, bytes).
Prints how many agree, and for each rule that differs: how often, and one request as a witness. Both get the same rule
files; only phases 1 and 2 are compared, which a request alone can reach.

    benches/peers/differential.py --crs ~/coreruleset --mutations 4
    benches/peers/differential.py --crs ~/coreruleset --rule 942100 --show 20     witnesses of one rule

Needs libmodsecurity-dev and gcc (apt), PyYAML (pip).
"""

import argparse
import base64
import collections
import json
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import urllib.parse

import yaml

from stand import ROOT
from waf import rules

HERE = pathlib.Path(__file__).parent


def suite(folder):
    """Every request of the suite as (name, method, uri, version, headers, data) in bytes."""
    for file in sorted(folder.rglob("*.yaml")):
        for test in (yaml.load(file.read_text(), yaml.CSafeLoader) or {}).get("tests") or []:
            for stage in test["stages"]:
                given = stage.get("input") or stage["stage"]["input"]
                request = plain(given)
                if request:
                    yield (f"{file.stem}-{test.get('test_id', '')}", *request)


def plain(given):
    if given.get("encoded_request"):
        return parsed(base64.b64decode(given["encoded_request"]))
    data = given.get("data") or ""
    headers = {str(name): str(value) for name, value in (given.get("headers") or {}).items()}
    kind = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    if "multipart" in kind.lower():
        data = data.replace("\r\n", "\n").replace("\n", "\r\n")
    body = data.encode("utf-8", "surrogateescape")
    if given.get("autocomplete_headers", True) and body:
        known = {name.lower() for name in headers}
        if "content-type" not in known:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        if "content-length" not in known and "transfer-encoding" not in known:
            headers["Content-Length"] = str(len(body))
    pairs = [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in headers.items()]
    uri = str(given.get("uri", "/")).split("#")[0]
    return str(given.get("method", "GET")).encode(), uri.encode(), str(given.get("version", "HTTP/1.1")).encode(), pairs, body


def parsed(raw):
    """A request given as it goes over the wire; None when it has no three words in its first line."""
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    words = lines[0].split(b" ")
    if len(words) != 3:
        return None
    pairs = [tuple(part.strip() for part in line.partition(b":")[::2]) for line in lines[1:] if b":" in line]
    return words[0], words[1], words[2], pairs, body


def mutated(request, dice):
    """Another request a step away."""
    name, method, uri, version, headers, data = request
    how = dice.choice(CHANGES)
    changed = how(dice, method, uri, version, list(headers), data)
    return (f"{name}/{how.__name__}", *changed)


def twice_encoded(dice, method, uri, version, headers, data):
    path, mark, query = uri.partition(b"?")
    return method, path + mark + query.replace(b"%", b"%25"), version, headers, data


def more_encoded(dice, method, uri, version, headers, data):
    def some(text):
        return b"".join(b"%%%02x" % byte if dice.random() < 0.3 and byte not in b"&=%" else bytes([byte]) for byte in text)

    path, mark, query = uri.partition(b"?")
    return method, path + mark + some(query), version, headers, data


def other_case(dice, method, uri, version, headers, data):
    return method, uri.swapcase(), version, [(name, value.swapcase()) for name, value in headers], data.swapcase()


def to_form(dice, method, uri, version, headers, data):
    path, _, query = uri.partition(b"?")
    kept = [(name, value) for name, value in headers if name.lower() not in (b"content-type", b"content-length")]
    body = query or b"q=" + urllib.parse.quote_plus(data).encode()
    kept += [(b"Content-Type", b"application/x-www-form-urlencoded"), (b"Content-Length", b"%d" % len(body))]
    return b"POST", path, version, kept, body


def to_query(dice, method, uri, version, headers, data):
    kept = [(name, value) for name, value in headers if name.lower() not in (b"content-type", b"content-length")]
    return b"GET", uri + (b"&" if b"?" in uri else b"?") + b"x=" + urllib.parse.quote_plus(data[:2000]).encode(), version, kept, b""


def to_json(dice, method, uri, version, headers, data):
    query = uri.partition(b"?")[2] or data
    pairs = urllib.parse.parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    body = json.dumps({"list": [{name: value} for name, value in pairs] or [query.decode("latin-1")]}).encode()
    kept = [(name, value) for name, value in headers if name.lower() not in (b"content-type", b"content-length")]
    kept += [(b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % len(body))]
    return b"POST", uri.partition(b"?")[0], version, kept, body


def to_cookie(dice, method, uri, version, headers, data):
    value = (uri.partition(b"?")[2] or data)[:1500].replace(b"\n", b" ").replace(b"\r", b" ")
    return method, uri.partition(b"?")[0], version, [*headers, (b"Cookie", b"a=" + value)], data


def to_agent(dice, method, uri, version, headers, data):
    value = urllib.parse.unquote_to_bytes(uri.partition(b"?")[2] or data)[:1500].replace(b"\n", b" ").replace(b"\r", b" ")
    kept = [(name, old) for name, old in headers if name.lower() != b"user-agent"]
    return method, uri.partition(b"?")[0], version, [*kept, (b"User-Agent", value.replace(b"\0", b""))], data


def with_noise(dice, method, uri, version, headers, data):
    def noisy(text):
        text = bytearray(text)
        for _ in range(max(1, len(text) // 30)):
            at = dice.randrange(len(text) + 1)
            text[at:at] = dice.choice([b"/**/", b"%00", b"%0a", b"+", b"%09", b"'", b"%u0027", b"%c0%af", b"%e2%80%8b", b"\\", b";"])
        return bytes(text)

    path, mark, query = uri.partition(b"?")
    return method, path + mark + (noisy(query) if query else b""), version, headers, data


def cut(dice, method, uri, version, headers, data):
    at = dice.randrange(1, len(uri) + 1)
    return method, uri[:at] or b"/", version, headers, data[: dice.randrange(len(data) + 1)]


CHANGES = [twice_encoded, more_encoded, other_case, to_form, to_query, to_json, to_cookie, to_agent, with_noise, cut]


def frame(request):
    _, method, uri, version, headers, data = request

    def field(text):
        return struct.pack("<I", len(text)) + text

    out = field(method) + field(uri) + field(version.removeprefix(b"HTTP/")) + struct.pack("<I", len(headers))
    return out + b"".join(field(name) + field(value) for name, value in headers) + field(data)


def line(request):
    _, method, uri, version, headers, data = request
    pairs = [[list(name), list(value)] for name, value in headers]
    return json.dumps({"method": list(method), "uri": list(uri), "version": list(version), "headers": pairs, "data": list(data)})


def found(output):
    """Ids per request, without those that only report a score (949, 959, 980)."""
    return [{int(word) for word in row.split() if int(word) // 1000 not in (949, 959, 980)} for row in output.decode().splitlines()]


def theirs(folder, conf, requests):
    program = folder / "libmodsecurity"
    subprocess.run(["gcc", "-O1", "-o", program, HERE / "libmodsecurity.c", "-lmodsecurity"], check=True)
    frames = b"".join(map(frame, requests))
    return found(subprocess.run([program, conf], input=frames, stdout=subprocess.PIPE, check=True).stdout)


def ours(folder, conf, requests, profile):
    file = folder / "requests.jsonl"
    file.write_text("".join(line(request) + "\n" for request in requests))
    command = ["cargo", "run", "-q", "--locked", "--profile", profile, "-p", "waf", "--example", "matched", "--", conf, file]
    return found(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--crs", type=pathlib.Path, required=True, help="a checkout with tests/regression/tests")
    parse.add_argument("--paranoia", type=int, default=4)
    parse.add_argument("--mutations", type=int, default=2, help="of each request")
    parse.add_argument("--seed", type=int, default=1)
    parse.add_argument("--profile", default="fast", help="build profile of our engine")
    parse.add_argument("--rule", type=int, help="only what differs in this rule")
    parse.add_argument("--show", type=int, default=1, help="witnesses of each difference")
    options = parse.parse_args()
    requests = list(suite(options.crs / "tests/regression/tests"))
    if not requests:
        sys.exit(f"{options.crs}: no tests/regression/tests there")
    dice = random.Random(options.seed)
    requests += [mutated(request, dice) for request in requests for _ in range(options.mutations)]
    # A C string ends at a NUL; what the others cannot be asked is left out.
    requests = [request for request in requests if b"\0" not in request[1] + request[2] + request[3]]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        conf = rules(folder, options.crs.resolve(), options.paranoia, "DetectionOnly")
        compare(requests, ours(folder, conf, requests, options.profile), theirs(folder, conf, requests), options)


def media_type(request):
    """What the body is said to be: where two parsers differ, it explains most."""
    *_, headers, data = request
    if not data:
        return "no body"
    kind = next((value for name, value in headers if name.lower() == b"content-type"), b"untyped")
    return kind.partition(b";")[0].strip().lower().decode("latin-1")[:40]


def compare(requests, mine, their, options):
    if not len(requests) == len(mine) == len(their):
        sys.exit(f"{len(requests)} requests, {len(mine)} answers of ours, {len(their)} of libmodsecurity")
    only = collections.defaultdict(list)
    same = 0
    for request, own, other in zip(requests, mine, their):
        same += own == other
        for rule in own - other:
            only[rule, "Palisade"].append(request)
        for rule in other - own:
            only[rule, "libmodsecurity"].append(request)
    print(f"{len(requests)} requests, {same} with equal matches; {sum(map(len, their))} matches of libmodsecurity")
    for (rule, who), witnesses in sorted(only.items()):
        if options.rule in (None, rule):
            types = collections.Counter(map(media_type, witnesses)).most_common()
            print(f"{rule} only in {who}: {len(witnesses)} ({', '.join(f'{kind} {count}' for kind, count in types)})")
            for name, method, uri, version, headers, data in witnesses[: options.show]:
                print(f"    {name}: {method!r} {uri[:300]!r} {headers!r:.400} {data[:300]!r}")


if __name__ == "__main__":
    main()
