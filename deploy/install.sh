# Sourced by test.sh and demo.sh: installs what is missing on a Debian machine, as root or with sudo.

say() { printf '%s\n' "$*"; }
fail() { printf '%s\n' "$*" >&2; exit 2; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else fail "needs root for: $* (no sudo here)"
    fi
}

# packages PACKAGE=FILE...: installs the packages whose file (a program's name or a path) is not there.
packages() {
    local missing=() pair file
    for pair in "$@"; do
        file=${pair#*=}
        if [ -e "$file" ] || PATH="$PATH:/usr/sbin:/sbin" command -v "$file" >/dev/null; then continue; fi
        missing+=("${pair%%=*}")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || fail "please install: ${missing[*]}"
    say "installing ${missing[*]}"
    as_root apt-get update -qq >/dev/null
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

need_rust() {
    PATH="$PATH:$HOME/.cargo/bin"
    command -v cargo >/dev/null || fail "cargo is missing: install Rust 1.95 or newer with rustup, then run this again"
}
