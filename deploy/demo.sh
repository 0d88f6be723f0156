#!/usr/bin/env bash
# From a fresh Debian with only Rust to a running gateway in front of a small application: installs what is missing
# (cmake, a C compiler), builds, and starts `palisade demo`, which prints what to try.
#   deploy/demo.sh                 the fast profile: near release speed, a fraction of its build time
#   PROFILE=release deploy/demo.sh
# Everything after it goes to `palisade demo`, such as --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/install.sh

packages cmake=cmake gcc=gcc g++=g++ make=make pkg-config=pkg-config curl=curl openssl=openssl
need_rust
profile=${PROFILE:-fast}
say "building (profile $profile; the first time takes some minutes)"
cargo build --profile "$profile" --locked -p server --bin palisade
exec "target/$profile/palisade" demo "$@"
