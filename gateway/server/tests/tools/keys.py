"""Makes signing keys in FOLDER: rsa, ec, ed (PEM pairs), a second rsa, and jwks.json with their public halves."""

import json
import pathlib
import sys

import jwt.algorithms as algorithms
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

folder = pathlib.Path(sys.argv[1])
made = {
    "rsa": (rsa.generate_private_key(65537, 2048), "RS256", algorithms.RSAAlgorithm),
    "rsa2": (rsa.generate_private_key(65537, 2048), "RS256", algorithms.RSAAlgorithm),
    "ps": (rsa.generate_private_key(65537, 2048), "PS256", algorithms.RSAPSSAlgorithm),
    "ec": (ec.generate_private_key(ec.SECP256R1()), "ES256", algorithms.ECAlgorithm),
    "ed": (ed25519.Ed25519PrivateKey.generate(), "EdDSA", algorithms.OKPAlgorithm),
}
keys = []
for name, (key, algorithm, family) in made.items():
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (folder / f"{name}.private").write_bytes(private)
    (folder / f"{name}.public").write_bytes(public)
    if name != "rsa2":
        entry = family.to_jwk(key.public_key(), as_dict=True)
        entry.pop("key_ops", None)
        keys.append(entry | {"kid": name, "alg": algorithm, "use": "sig"})
(folder / "jwks.json").write_text(json.dumps({"keys": keys}))
