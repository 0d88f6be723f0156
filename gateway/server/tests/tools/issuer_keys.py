"""Keys of an invented issuer. Input: a JSON list of {kid, alg}; output: a JSON list of {kid, alg, pem, jwk}."""

import json
import sys

import jwt.algorithms
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

made = []
for order in json.load(sys.stdin):
    if order["alg"].startswith("RS"):
        key = rsa.generate_private_key(public_exponent=65537, key_size=order.get("bits", 2048))
        jwk = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        key = ec.generate_private_key(ec.SECP256R1())
        jwk = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    jwk = {**jwk, "kid": order["kid"], "alg": order["alg"], "use": "sig"}
    jwk.pop("key_ops", None)
    made.append({"kid": order["kid"], "alg": order["alg"], "pem": pem, "jwk": jwk})
print(json.dumps(made))
