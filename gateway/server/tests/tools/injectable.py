"""A page on 127.0.0.1:PORT that puts `id` into its SQL as it came: for tests that let a tool attack it. Standard library
only. Answers /page?id=1 with the article of that number; the table `staff` holds the secret given as the second argument."""

import sqlite3
import sys
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = sys.argv[2]


def database():
    connection = sqlite3.connect(":memory:")
    connection.executescript(
        "create table articles (id integer, title text, body text);"
        "insert into articles values (1, 'Pears', 'They are green.'), (2, 'Plums', 'They are blue.');"
        "create table staff (login text, secret text);"
    )
    connection.execute("insert into staff values ('ann', ?)", (SECRET,))
    return connection


class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.reply(urllib.parse.urlsplit(self.path).query)

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        self.reply(self.rfile.read(length).decode("latin-1"))

    def reply(self, pairs):
        number = urllib.parse.parse_qs(pairs, keep_blank_values=True).get("id", [""])[0]
        status, text = 200, ""
        try:
            rows = database().execute("select title, body from articles where id = " + number).fetchall()
            text = "".join(f"<h1>{title}</h1><p>{body}</p>" for title, body in rows) or "<p>nothing</p>"
        except sqlite3.Error as fault:
            status, text = 500, f"sqlite3 error: {fault}"
        body = f"<html><body>{text}</body></html>".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Page)
print("ready", flush=True)
server.serve_forever()
