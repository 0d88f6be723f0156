#!/usr/bin/env python3
"""Signed tokens and their keys, in a folder: `tokens.py FOLDER ALGORITHM COUNT`. Runs with the Python that has `cryptography`.

Writes ALGORITHM.pem (public), ALGORITHM.jwks and ALGORITHM.tokens (one a line, good for a week), unless they are there and younger than a
day. The private key is used here and forgotten.
"""

import base64
import json
import pathlib
import sys
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value, length):
    return b64(value.to_bytes(length, "big"))


def signer(algorithm):
    """What signs, and the public key as a JWK."""
    if algorithm == "RS256":
        key = rsa.generate_private_key(65537, 2048)
        public = key.public_key().public_numbers()
        jwk = {"kty": "RSA", "n": number(public.n, 256), "e": number(public.e, 3)}
        return key, jwk, lambda text: key.sign(text, padding.PKCS1v15(), hashes.SHA256())
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_numbers()
    jwk = {"kty": "EC", "crv": "P-256", "x": number(public.x, 32), "y": number(public.y, 32)}

    def sign(text):
        r, s = decode_dss_signature(key.sign(text, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return key, jwk, sign


def main():
    folder, algorithm, count = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    made = folder / f"{algorithm}.tokens"
    if made.exists() and time.time() - made.stat().st_mtime < 86400 and len(made.read_text().split()) == count:
        return
    folder.mkdir(parents=True, exist_ok=True)
    key, jwk, sign = signer(algorithm)
    head = b64(json.dumps({"alg": algorithm, "typ": "JWT", "kid": "bench"}).encode())
    now, lines = int(time.time()), []
    for user in range(count):
        claims = {"iss": "https://login.example", "sub": f"user-{user}", "role": "user", "scopes": ["chat", "rag:query"]}
        claims |= {"token_type": "access", "jti": f"{user:032x}", "iat": now, "nbf": now, "exp": now + 7 * 86400}
        text = f"{head}.{b64(json.dumps(claims).encode())}"
        lines.append(f"{text}.{b64(sign(text.encode()))}")
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{algorithm}.pem").write_bytes(public)
    (folder / f"{algorithm}.jwks").write_text(json.dumps({"keys": [jwk | {"kid": "bench", "alg": algorithm, "use": "sig"}]}))
    made.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
