"""Speaks HTTP/2 by hand to 127.0.0.1:PORT: TLS when CA is given, else prior knowledge. Runs the case named last and
prints what came back as one JSON line: status per stream, reset code per stream, GOAWAY code, whether it was closed.

h2's own validation is off: what a well-behaved client would never send is the point.
"""

import json
import socket
import ssl
import sys
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import h2.stream
import hyperframe.frame as frames

PATIENCE = 20.0


class Client:
    def __init__(self, port, ca):
        raw = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        if ca:
            context = ssl.create_default_context(cafile=ca)
            context.set_alpn_protocols(["h2"])
            raw = context.wrap_socket(raw, server_hostname="app.test")
            assert raw.selected_alpn_protocol() == "h2"
        self.socket = raw
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=True,
                header_encoding="utf-8",
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                validate_inbound_headers=False,
            )
        )
        self.seen = {"status": {}, "reset": {}, "body": {}, "goaway": None, "closed": False}
        self.ended = set()
        self.h2.initiate_connection()
        self.flush()

    def flush(self):
        self.write(self.h2.data_to_send())

    def write(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            self.seen["closed"] = True

    def frame(self, frame):
        self.write(frame.serialize())

    def read(self, timeout=PATIENCE):
        """Takes in what came; False when the other side closed."""
        self.socket.settimeout(timeout)
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            return None
        except OSError:
            data = b""
        if not data:
            self.seen["closed"] = True
            return False
        try:
            events = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError as fault:
            self.seen["protocol_error"] = str(fault)
            return True
        for event in events:
            if isinstance(event, h2.events.ResponseReceived):
                self.seen["status"][event.stream_id] = int(dict(event.headers)[":status"])
            elif isinstance(event, h2.events.DataReceived):
                text = self.seen["body"].get(event.stream_id, "") + event.data.decode("latin-1")
                self.seen["body"][event.stream_id] = text[:2000]
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.add(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                self.seen["reset"][event.stream_id] = int(event.error_code)
                self.ended.add(event.stream_id)
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.seen["goaway"] = int(event.error_code)
        self.flush()
        return True

    def settle(self, *streams):
        """Reads until those streams have ended, or the connection is going away."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and not self.seen["closed"] and self.seen["goaway"] is None:
            if all(stream in self.ended for stream in streams):
                return
            self.read(1.0)

    def request(self, more=(), method="GET", path="/", authority="app.test", end=True, stream=None):
        stream = stream or self.h2.get_next_available_stream_id()
        headers = [(":method", method), (":scheme", "https"), (":path", path)]
        if authority is not None:
            headers.append((":authority", authority))
        self.h2.send_headers(stream, headers + list(more), end_stream=end)
        self.flush()
        return stream

    def raw_headers(self, headers, end=True, stream=None):
        """Headers in any order, past every check of the library's state machine."""
        stream = stream or self.h2.get_next_available_stream_id()
        frame = frames.HeadersFrame(stream, self.h2.encoder.encode(headers))
        frame.flags.add("END_HEADERS")
        if end:
            frame.flags.add("END_STREAM")
        self.sent_headers(stream, end)
        self.frame(frame)
        return stream

    def sent_headers(self, stream, end):
        """Tells the library about a stream that was opened behind its back."""
        self.h2.state_machine.process_input(h2.connection.ConnectionInputs.SEND_HEADERS)
        self.h2._begin_new_stream(stream, h2.connection.AllowedStreamIDs.ODD)
        machine = self.h2.streams[stream].state_machine
        machine.process_input(h2.stream.StreamInputs.SEND_HEADERS)
        if end:
            machine.process_input(h2.stream.StreamInputs.SEND_END_STREAM)


BASE = [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "app.test")]


def good(c):
    c.settle(c.request([("x-request-id", "h2-good")]))


def header(name, value):
    return lambda c: c.settle(c.raw_headers(BASE + [(name, value)]))


def pseudo(headers):
    return lambda c: c.settle(c.raw_headers(headers))


def length_too_small(c):
    s = c.raw_headers([(":method", "POST")] + BASE[1:] + [("content-length", "3")], end=False)
    data = frames.DataFrame(s, b"GET /smuggled HTTP/1.1\r\n\r\n")
    data.flags.add("END_STREAM")
    c.frame(data)
    c.settle(s)


def length_too_large(c):
    s = c.raw_headers([(":method", "POST")] + BASE[1:] + [("content-length", "300")], end=False)
    data = frames.DataFrame(s, b"short")
    data.flags.add("END_STREAM")
    c.frame(data)
    c.settle(s)


def body(c, size=200_000, chunk=10_000):
    s = c.request([("content-length", str(size))], method="POST", end=False)
    send(c, s, size, chunk)
    c.settle(s)


def body_unknown(c):
    s = c.request(method="POST", end=False)
    send(c, s, 200_000, 10_000)
    c.settle(s)


def send(c, s, size, chunk):
    sent = 0
    while sent < size and s not in c.ended and not c.seen["closed"]:
        window = min(c.h2.local_flow_control_window(s), c.h2.max_outbound_frame_size, chunk, size - sent)
        if window == 0:
            c.read()
            continue
        c.h2.send_data(s, b"a" * window, end_stream=sent + window == size)
        sent += window
        c.flush()


def rapid_reset(c):
    for _ in range(5000):
        s = c.request()
        c.h2.reset_stream(s, h2.errors.ErrorCodes.CANCEL)
        c.flush()
        if c.seen["closed"]:
            break
        c.read(0.0005)
        if c.seen["goaway"] is not None:
            break
    ending(c)


def flood(make, count=200_000, batch=200):
    def run(c):
        for _ in range(count // batch):
            c.write(b"".join(make(c).serialize() for _ in range(batch)))
            c.read(0.0005)
            if c.seen["closed"] or c.seen["goaway"] is not None:
                break
        ending(c)

    return run


def ending(c):
    """Waits for the end of the connection, a little longer than any budget should take."""
    end = time.monotonic() + 5
    while time.monotonic() < end and not c.seen["closed"]:
        c.read(0.5)


def continuation(c):
    """A header block that never ends, in CONTINUATION frames."""
    s = c.h2.get_next_available_stream_id()
    c.frame(frames.HeadersFrame(s, c.h2.encoder.encode(BASE)))
    for number in range(20_000):
        block = c.h2.encoder.encode([(f"x-{number}", "y" * 1000)])
        c.frame(frames.ContinuationFrame(s, block))
        c.read(0.0005) if number % 20 == 0 else None
        if c.seen["closed"] or c.seen["goaway"] is not None:
            break
    ending(c)


def hpack_bomb(c):
    """One indexed 4,000-byte field named thousands of times in few bytes."""
    c.request([("x-bomb", "z" * 3900)])
    block = c.h2.encoder.encode(BASE) + c.h2.encoder.encode([("x-bomb", "z" * 3900)]) * 12_000
    s = c.h2.get_next_available_stream_id()
    c.sent_headers(s, True)
    frame = frames.HeadersFrame(s, block[:16000])
    frame.flags.add("END_STREAM")
    frame.flags.add("END_HEADERS")
    c.frame(frame)
    c.settle(s)


def made_you_reset(c):
    """CVE-2025-8671: makes the server reset by breaking the protocol on a half-closed stream."""
    for number in range(5000):
        s = c.request()
        c.frame(frames.WindowUpdateFrame(s, 0))
        c.read(0.0005) if number % 10 == 0 else None
        if c.seen["closed"] or c.seen["goaway"] is not None:
            break
    ending(c)


def zero_window(c):
    """Asks for answers and never gives window for their bytes."""
    c.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
    c.flush()
    c.read(1.0)
    for _ in range(50):
        c.request()
    end = time.monotonic() + 15
    while time.monotonic() < end and not c.seen["closed"] and len(c.ended) < 50:
        c.read(0.5)


def multiplexed(c):
    """Thirty requests at once on one connection."""
    streams = [c.request([("x-request-id", f"multi-{n}")]) for n in range(30)]
    c.settle(*streams)


def ping(c):
    return frames.PingFrame(0, b"12345678")


def settings(c):
    return frames.SettingsFrame(0, {1: 4096})


def priority(c):
    return frames.PriorityFrame(1, depends_on=3)


CASES = {
    "good": good,
    "multiplexed": multiplexed,
    "body": body,
    "body_unknown": body_unknown,
    "te_chunked": header("transfer-encoding", "chunked"),
    "te_gzip": header("te", "gzip"),
    "connection": header("connection", "keep-alive, authorization"),
    "upgrade": header("upgrade", "h2c"),
    "keep_alive": header("keep-alive", "timeout=5"),
    "crlf_value": header("x-a", "1\r\ntransfer-encoding: chunked"),
    "lf_value": header("x-a", "1\nx-b: 2"),
    "nul_value": header("x-a", "1\x002"),
    "crlf_name": header("x-a\r\nx-b", "1"),
    "colon_name": header("x-a: b", "1"),
    "space_name": header("x a", "1"),
    "upper_name": header("X-Upper", "1"),
    "lookalike": header("transfer_encoding", "chunked"),
    "host_differs": header("host", "evil.test"),
    "host_same": header("host", "app.test"),
    "crlf_path": pseudo([(":method", "GET"), (":scheme", "https"), (":path", "/ HTTP/1.1\r\nX: y\r\n\r\n"), (":authority", "app.test")]),
    "space_path": pseudo([(":method", "GET"), (":scheme", "https"), (":path", "/a b"), (":authority", "app.test")]),
    "empty_path": pseudo([(":method", "GET"), (":scheme", "https"), (":path", ""), (":authority", "app.test")]),
    "no_path": pseudo([(":method", "GET"), (":scheme", "https"), (":authority", "app.test")]),
    "no_authority": pseudo([(":method", "GET"), (":scheme", "https"), (":path", "/")]),
    "userinfo": pseudo([(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "user@app.test")]),
    "crlf_method": pseudo([(":method", "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET"), (":scheme", "https"), (":path", "/"), (":authority", "app.test")]),
    "crlf_authority": pseudo([(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "app.test\r\nx: y")]),
    "double_path": pseudo(BASE + [(":path", "/admin")]),
    "double_authority": pseudo(BASE + [(":authority", "evil.test")]),
    "late_pseudo": pseudo(BASE[:3] + [("x-a", "1"), (":authority", "app.test")]),
    "unknown_pseudo": pseudo(BASE + [(":admin", "1")]),
    "connect": pseudo([(":method", "CONNECT"), (":authority", "app.test:443")]),
    "length_too_small": length_too_small,
    "length_too_large": length_too_large,
    "length_list": header("content-length", "0, 0"),
    "rapid_reset": rapid_reset,
    "made_you_reset": made_you_reset,
    "ping_flood": flood(ping),
    "settings_flood": flood(settings),
    "priority_flood": flood(priority),
    "continuation": continuation,
    "hpack_bomb": hpack_bomb,
    "zero_window": zero_window,
}

if __name__ == "__main__":
    port, ca, names = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    for name in names:
        client = Client(port, None if ca == "-" else ca)
        CASES[name](client)
        print(json.dumps({"case": name} | client.seen), flush=True)
        client.socket.close()
