"""Calls the gRPC application at TARGET (host:port) over TLS with the authority CA, and prints what it got as JSON."""

import json
import pathlib
import sys

import grpc

target, ca = sys.argv[1], pathlib.Path(sys.argv[2]).read_bytes()
channel = grpc.secure_channel(
    target,
    grpc.ssl_channel_credentials(ca),
    [("grpc.ssl_target_name_override", "app.test"), ("grpc.default_authority", "app.test")],
)
out = {}
call = channel.unary_unary("/t.T/Echo")
reply, state = call.with_call(b"hello", timeout=20)
out["echo"] = reply.decode()
out["trailers"] = {name: value.hex() if isinstance(value, bytes) else value for name, value in state.trailing_metadata()}
large = b"x" * 1_000_000
out["large"] = call(large, timeout=20) == large
stream = channel.unary_stream("/t.T/Count")(b"5", timeout=20)
out["count"] = [part.decode() for part in stream]
out["count_trailer"] = dict(stream.trailing_metadata()).get("t-count")
out["chat"] = [part.decode() for part in channel.stream_stream("/t.T/Chat")(iter([b"a", b"b", b"c"]), timeout=20)]
try:
    channel.unary_unary("/t.T/Fail")(b"", timeout=20)
    out["fail"] = "no error"
except grpc.RpcError as fault:
    out["fail"] = [fault.code().name, fault.details()]
print(json.dumps(out))
