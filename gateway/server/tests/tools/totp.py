"""The code of an authenticator app now, by `cryptography`. Argument: the secret in base32."""

import base64
import sys
import time

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

print(TOTP(base64.b32decode(sys.argv[1]), 6, SHA1(), 30).generate(time.time()).decode())
