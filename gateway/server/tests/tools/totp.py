"""The code of an authenticator app, by `cryptography`. Arguments: the secret in base32, and seconds from now if not now."""

import base64
import sys
import time

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

ahead = int(sys.argv[2]) if len(sys.argv) > 2 else 0
print(TOTP(base64.b32decode(sys.argv[1]), 6, SHA1(), 30).generate(time.time() + ahead).decode())
