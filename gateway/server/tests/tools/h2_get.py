"""Gets PATH... from 127.0.0.1:PORT, one after the other over one HTTP/2 connection with prior knowledge. Prints `begun`
when the first body byte of one came, and how it ended as one JSON line."""

import json
import socket
import sys

import h2.config
import h2.connection
import h2.events

client = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=30)
conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
conn.initiate_connection()


def get(path):
    stream = conn.get_next_available_stream_id()
    fields = [(":method", "GET"), (":scheme", "http"), (":authority", "app.test"), (":path", path)]
    conn.send_headers(stream, [*fields, ("x-request-id", path[1:])], end_stream=True)
    seen = {"status": None, "reset": None, "body": ""}
    while True:
        client.sendall(conn.data_to_send())
        data = client.recv(65536)
        if not data:
            return {**seen, "closed": True}
        for event in conn.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                seen["status"] = int(dict(event.headers)[":status"])
            elif isinstance(event, h2.events.DataReceived):
                if not seen["body"]:
                    print("begun", flush=True)
                seen["body"] += event.data.decode()
                conn.acknowledge_received_data(event.flow_controlled_length, stream)
            elif isinstance(event, h2.events.StreamReset):
                return {**seen, "reset": int(event.error_code)}
            elif isinstance(event, h2.events.StreamEnded):
                return seen


for path in sys.argv[2:]:
    print(json.dumps(get(path)), flush=True)
