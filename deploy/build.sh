#!/usr/bin/env bash
# Builds the gateway for production, laid out by what it does: built with counters, put under load (benches/peers/train.py),
# built again with what was counted. The binary does the same as `cargo build --release`'s for a tenth to a half less CPU
# (benches/README.md), since one request's code lies together.
#   deploy/build.sh           leaves target/trained/palisade; about forty minutes on two cores
#   deploy/build.sh benches   what benches/peers/all.py --profile trained needs as well
# Needs Debian, and Rust from rustup for its llvm-profdata; installs what the load needs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/install.sh

case ${1:-} in
"" | benches) ;;
*) fail "usage: deploy/build.sh [benches]" ;;
esac
packages cmake=cmake gcc=gcc g++=g++ make=make pkg-config=pkg-config curl=curl openssl=openssl
python3 -c 'import ensurepip' 2>/dev/null || packages python3-venv=/missing
need_rust
programs=(-p server --bin palisade)
[ $# = 0 ] || programs+=(-p benches --bin bare)
host=$(rustc --print host-tuple)
merge=$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata
[ -x "$merge" ] || rustup component add llvm-tools
counts=$PWD/target/counts

# build NAME FLAGS: the release profile with these flags, into target/NAME. A target of its own keeps the flags from build scripts.
build() {
    say "building target/$1"
    CARGO_TARGET_DIR=$PWD/target/build-$1 RUSTFLAGS=$2 cargo build --release --locked --target "$host" "${programs[@]}"
    mkdir -p "target/$1"
    find "target/build-$1/$host/release" -maxdepth 1 \( -name palisade -o -name bare \) -exec cp {} "target/$1/" \;
}

# Cargo does not look into what was counted: crates of an earlier build would keep their old layout.
rm -rf "$counts" target/build-trained target/counting target/trained
build counting "-Cprofile-generate=$counts"
cargo build --profile fast --locked -p benches --bin load
cp target/fast/load target/counting/
LLVM_PROFILE_FILE=$counts/%m-%p.profraw benches/peers/train.py --profile counting
"$merge" merge -o target/counts.profdata "$counts"
build trained "-Cprofile-use=$PWD/target/counts.profdata"
if [ $# -gt 0 ]; then
    # The floor that others are measured against is not trained; the one that is stands beside it.
    mv target/trained/bare target/trained/bare-trained
    cargo build --release --locked -p benches --bin bare --bin load
    cp target/release/{bare,load} target/trained/
fi
say "target/trained/palisade"
