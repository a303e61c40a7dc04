#!/usr/bin/env python3
"""app: a small service. It answers HTTP on a loopback port and says when it is ready.

$PORT is the port (8080). The answer is the text in app.txt beside this file, where there is one. SIGHUP has it read
anew, SIGTERM ends the service.
"""

import os
import signal
import socket
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler

NAME = "app"
ANSWER = os.path.join(os.path.dirname(os.path.abspath(__file__)), NAME + ".txt")
EX_CONFIG = 78  # sysexits.h


class Handler(BaseHTTPRequestHandler):
    """Every GET gets the same answer."""

    def do_GET(self):
        body = self.server.answer
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(socketserver.ThreadingTCPServer):
    """A thread a request; none of them holds up the end."""

    allow_reuse_address = True
    daemon_threads = True
    answer = b""


def notify(*lines):
    """Tell the service manager, where there is one: sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # in the abstract namespace
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
        try:
            manager.connect(address)
            manager.send("\n".join(lines).encode())
        except OSError:  # nobody listens any more: no reason to stop serving
            pass


def read_answer():
    """The text to answer with."""
    try:
        with open(ANSWER, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return f"{NAME} is running\n".encode()


def listen():
    """The listening server; exits with one line where there can be none."""
    port = os.environ.get("PORT") or "8080"
    try:
        return Server(("127.0.0.1", int(port)), Handler)
    except (OSError, OverflowError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        print(f"{NAME}: cannot listen on 127.0.0.1 port {port}: {why}", file=sys.stderr)
        sys.exit(EX_CONFIG)


def main():
    """Serve until SIGTERM or SIGINT; on SIGHUP read the answer anew."""
    awaited = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)  # for all threads: only sigwait takes them
    server = listen()
    server.answer = read_answer()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    notify("READY=1", f"STATUS=Listening on port {server.server_address[1]}")
    while signal.sigwait(awaited) == signal.SIGHUP:
        notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            server.answer = read_answer()
        except OSError as error:
            print(f"{NAME}: {ANSWER}: {error.strerror}; the answer stays as it was", file=sys.stderr)
        notify("READY=1")
    notify("STOPPING=1")
    server.shutdown()
    server.server_close()


if __name__ == "__main__":
    main()
