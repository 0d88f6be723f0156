"""Signs tokens with PyJWT. Input: JSON list of {alg, key | key_file, claims, headers}; output: one token per line.

A claim value {"now": N} is the current time plus N seconds. An entry with "raw" = [header, payload] (strings) is signed
as it stands, for what no library would produce; with "sign": false its signature is empty.
"""

import base64
import json
import pathlib
import sys
import time

import jwt
import jwt.algorithms


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def value(claim):
    if isinstance(claim, dict) and set(claim) == {"now"}:
        return int(time.time()) + claim["now"]
    return claim


for order in json.load(sys.stdin):
    key = pathlib.Path(order["key_file"]).read_bytes() if "key_file" in order else order.get("key", "").encode()
    algorithm = order["alg"]
    if "raw" in order:
        header, payload = order["raw"]
        payload = payload.replace("@FUTURE@", str(int(time.time()) + 600))
        text = b64(header.encode()) + "." + b64(payload.encode())
        signature = b""
        if order.get("sign", True):
            family = jwt.algorithms.get_default_algorithms()[algorithm]
            # An asymmetric key's PEM taken as an HMAC secret is what PyJWT refuses and an attacker does.
            prepared = key if algorithm == "HS256" else family.prepare_key(key)
            signature = family.sign(text.encode(), prepared)
        print(text + "." + b64(signature))
    else:
        claims = {name: value(claim) for name, claim in order["claims"].items()}
        print(jwt.encode(claims, key, algorithm=algorithm, headers=order.get("headers")))
