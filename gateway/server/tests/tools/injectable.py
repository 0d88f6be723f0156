"""A page on 127.0.0.1:PORT that puts `id` into its SQL as it came: for tests that let a tool attack it. Standard library
only. /page?id=1 answers with the article of that number; the number may also be a field of a form, a member of a JSON
document, at /cookie a cookie and at /agent the User-Agent. /twice decodes what it got once more. The table `staff` holds
the secret given as the second argument."""

import json
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


def of_pairs(text):
    return urllib.parse.parse_qs(text, keep_blank_values=True).get("id", [""])[0]


class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        target = urllib.parse.urlsplit(self.path)
        number = of_pairs(target.query)
        if target.path == "/agent":
            number = self.headers.get("User-Agent", "").strip()
        elif target.path == "/cookie":
            number = self.cookie()
        self.reply(number)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode("latin-1")
        if "json" in self.headers.get("Content-Type", ""):
            try:
                self.reply(str(json.loads(body)["id"]))
            except (ValueError, KeyError, TypeError):
                self.reply("")
        else:
            self.reply(of_pairs(body))

    def cookie(self):
        """As most frameworks read it: everything up to the next semicolon, decoded."""
        for pair in self.headers.get("Cookie", "").split(";"):
            name, _, value = pair.strip().partition("=")
            if name == "id":
                return urllib.parse.unquote_plus(value)
        return ""

    def reply(self, number):
        if urllib.parse.urlsplit(self.path).path.endswith("twice"):
            number = urllib.parse.unquote_plus(number)
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
