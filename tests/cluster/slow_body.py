"""A server whose head and body leave apart, and a caller that takes no connection's end unannounced.

usage: slow_body.py serve PORT
       slow_body.py ask HOST:PORT AUTHORITY   50 requests over kept connections: prints a status per answer, or what broke
"""

import http.client
import http.server
import sys
import time


class Apart(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "3")
        self.end_headers()
        time.sleep(0.02)
        self.wfile.write(b"ok\n")

    def log_message(self, *_):
        pass


def ask(place, authority):
    connection = http.client.HTTPConnection(place, timeout=20)
    for _ in range(50):
        try:
            connection.request("GET", "/", headers={"host": authority})
            answer = connection.getresponse()
            answer.read()  # closes the connection where the answer said so; the next request opens another
            print(answer.status)
        except OSError as broken:
            print(type(broken).__name__)
            connection.close()


if sys.argv[1] == "serve":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Apart).serve_forever()
else:
    ask(sys.argv[2], sys.argv[3])
