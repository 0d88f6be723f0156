"""What every table needs: free ports, an nginx as the application behind, processes under measurement, load."""

import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CORES = sorted(os.sched_getaffinity(0))


def program(name):
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if not found:
        sys.exit(f"{name} is missing (apt-get install {name})")
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_port(port, process):
    for _ in range(600):
        if process.poll() is not None:
            sys.exit(f"{process.args} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nothing listens on {port}")


def nginx(folder, port, more=""):
    """An application that says hello; `more` goes into its server block."""
    conf = folder / "nginx.conf"
    temp = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    conf.write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n"
        f"worker_rlimit_nofile 65536; events {{ worker_connections 30000; }}\n"
        f"http {{ access_log off; keepalive_requests 100000000; {temp}\n"
        f"client_max_body_size 16m; client_body_buffer_size 2m;\n"
        f"server {{ listen 127.0.0.1:{port} backlog=4096; {more}\n"
        'location / { default_type text/plain; return 200 "hello from the origin"; } } }\n'
    )
    return subprocess.Popen([program("nginx"), "-c", conf])


def echo(binaries, port):
    """A WebSocket server that sends every message back."""
    return subprocess.Popen([binaries / "load", "echo", f"127.0.0.1:{port}"])


def family(pid):
    """The process and whatever it started, living."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in family(int(child)))]


def cpu(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    # What waited-for children used is in the last two.
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def rss(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024


class Process:
    """A proxy under measurement, on a port and, with one worker, on a core of its own."""

    def __init__(self, kind, command, folder, port, env=None, threads=1):
        self.kind, self.port = kind, port
        log = (folder / "log").open("wb")
        cores = CORES[-1:] if threads == 1 else CORES
        self.process = subprocess.Popen(
            command, stdout=log, stderr=log, env=os.environ | (env or {}), preexec_fn=lambda: os.sched_setaffinity(0, cores)
        )
        wait_port(self.port, self.process)

    def cpu(self):
        """Seconds of user and system time so far, of children as well."""
        return sum(cpu(pid) for pid in family(self.process.pid))

    def rss(self):
        """MiB, of children as well."""
        return sum(rss(pid) for pid in family(self.process.pid))

    def end(self):
        """Ends by a signal: what it writes at its end is written. Bare Pingora drains for minutes after the gentle one."""
        self.process.send_signal(signal.SIGINT if self.kind == "bare" else signal.SIGTERM)
        self.process.wait(60)

    def stop(self):
        self.process.kill()
        self.process.wait()


class Load:
    """The load program (`src/bin/load`) with its options."""

    def __init__(self, binaries, requests, **options):
        self.program, self.requests, self.options = binaries / "load", requests, options

    def run(self, port, seconds, **more):
        command = [self.program, f"127.0.0.1:{port}", "--requests", self.requests, "--seconds", str(seconds)]
        for name, value in (self.options | more).items():
            command.append(f"--{name}")
            if value is not True:
                command.append(str(value))
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def pool(file, requests):
    """Writes requests the way the load program reads them."""
    with file.open("wb") as out:
        for request in requests:
            out.write(b"%d\n" % len(request) + request)
    return file


def build(profile):
    subprocess.run(
        ["cargo", "build", "--locked", "--profile", profile, "-p", "server", "-p", "benches", "--bin", "palisade", "--bin", "bare", "--bin", "load"],
        cwd=ROOT,
        check=True,
    )


def stand_apart():
    """Leaves the last core to the proxy under measurement: load and applications would push its caches aside."""
    if len(CORES) > 1:
        os.sched_setaffinity(0, CORES[:-1])


def raise_file_limit():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
