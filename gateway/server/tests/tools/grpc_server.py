"""A gRPC application without generated code: bytes in, bytes out. /t.T/Echo (unary, trailers), /t.T/Count (stream),
/t.T/Chat (both directions), /t.T/Fail (status and details in trailers only)."""

import sys
import threading
from concurrent import futures

import grpc


def echo(request, context):
    seen = dict(context.invocation_metadata())
    context.set_trailing_metadata((("t-user", seen.get("x-user-id", "none")), ("t-bin", b"\x00\x01\xff")))
    return request


def count(request, context):
    for number in range(int(request)):
        yield str(number).encode()
    context.set_trailing_metadata((("t-count", request.decode()),))


def chat(requests, context):
    for request in requests:
        yield b"got " + request


def fail(request, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today")


handlers = grpc.method_handlers_generic_handler(
    "t.T",
    {
        "Echo": grpc.unary_unary_rpc_method_handler(echo),
        "Count": grpc.unary_stream_rpc_method_handler(count),
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
    },
)
server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
server.add_generic_rpc_handlers((handlers,))
server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
server.start()
print("ready", flush=True)
threading.Event().wait()
