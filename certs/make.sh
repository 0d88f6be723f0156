#!/usr/bin/env bash
# Throw-away certificates for trying things out: a CA, two servers (for SNI) and a client, ECDSA P-256, 30 days.
# Usage: certs/make.sh [FOLDER]     (default certs/dev, which git ignores). Existing, still valid ones are kept.
# Never use them for anything that matters: the CA's key lies beside them.
set -euo pipefail
umask 077
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:-$here/dev}
days=30

command -v openssl >/dev/null || { echo "certs/make.sh: openssl is not installed" >&2; exit 2; }
mkdir -p "$out"
cd "$out"

fresh() { # NAME: a certificate that stays valid for another day and has its key
    [ -s "$1.key" ] && [ -s "$1.pem" ] && openssl x509 -in "$1.pem" -noout -checkend 86400 >/dev/null 2>&1
}

key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" 2>/dev/null ||
        openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" 2>/dev/null; }

authority() {
    key ca
    openssl req -new -x509 -key ca.key -sha256 -days "$days" -subj "/CN=Palisade throw-away CA" \
        -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign" -out ca.pem
    rm -f server.pem other.pem client.pem
}

issue() { # NAME SUBJECT USAGE [SUBJECT-ALT-NAMES]
    key "$1"
    openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
    {
        echo "basicConstraints=critical,CA:FALSE"
        echo "keyUsage=critical,digitalSignature"
        echo "extendedKeyUsage=$3"
        [ -z "${4:-}" ] || echo "subjectAltName=$4"
    } >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -sha256 -days "$days" \
        -extfile "$1.ext" -out "$1.pem" 2>/dev/null
    rm -f "$1.csr" "$1.ext"
}

fresh ca || authority
fresh server || issue server "/CN=localhost" serverAuth \
    "DNS:localhost,DNS:app.test,DNS:*.app.test,IP:127.0.0.1,IP:::1"
fresh other || issue other "/CN=other.test" serverAuth "DNS:other.test"
fresh client || issue client "/CN=client-1/O=Palisade" clientAuth
echo "certificates in $out: ca.pem, server.pem/.key (localhost, app.test), other.pem/.key (other.test), client.pem/.key"
