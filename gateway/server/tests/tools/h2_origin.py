"""An HTTP/2 application with prior knowledge on PORT. What it answers is in the path:
/empty ends with its header, /trailers has some, /leak and /leak-trailers tell too much."""

import socket
import sys
import threading

import h2.config
import h2.connection
import h2.events

TEXT = ("content-type", "text/plain")
LEAK = b"You have an error in your SQL syntax near 'x'"
ANSWERS = {
    "/empty": ([], None),
    "/plain": ([b"hello ", b"world"], None),
    "/trailers": ([b"hello ", b"world"], [("x-sum", "11")]),
    "/leak": ([b"hello ", LEAK], None),
    "/leak-trailers": ([b"hello ", LEAK], [("x-sum", "11")]),
}


def serve(client):
    conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
    conn.initiate_connection()
    client.sendall(conn.data_to_send())
    while data := client.recv(65536):
        for event in conn.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                answer(conn, event.stream_id, dict(event.headers)[":path"])
        client.sendall(conn.data_to_send())


def answer(conn, stream, path):
    pieces, trailers = ANSWERS[path]
    conn.send_headers(stream, [(":status", "200"), TEXT], end_stream=not pieces)
    for index, piece in enumerate(pieces):
        last = index + 1 == len(pieces)
        conn.send_data(stream, piece, end_stream=last and not trailers)
    if trailers:
        conn.send_headers(stream, trailers, end_stream=True)


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("ready", flush=True)
while True:
    client, _ = listener.accept()
    threading.Thread(target=serve, args=(client,), daemon=True).start()
