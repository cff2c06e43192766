"""A proxy between the S3 client and a server that does to chosen requests what networks and servers do."""

import http.client
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Fault:
    """What happens to the next `times` requests whose line contains `match`.

    kinds: `status` (answered with `status` and the S3 error `code`, not forwarded), `reset` (not forwarded),
    `swallow` (forwarded, reply lost), `cut` (reply ends after `after` bytes of its body), `flip` (one bit of the
    reply's body), `flip_request` (one bit of the request's body), `delay` (`seconds`), `hang` (never answered).
    """

    kind: str
    match: str = ""
    times: int = 1
    status: int = 503
    code: str = "SlowDown"
    after: int = 0
    seconds: float = 0.0


@dataclass
class Proxy:
    """A running proxy: its address, its faults, and the request lines that it saw."""

    url: str
    faults: list[Fault] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    closed: threading.Event = field(default_factory=threading.Event)

    def add(self, kind: str, match: str = "", **values: object) -> None:
        self.faults.append(Fault(kind, match, **values))  # type: ignore[arg-type]

    def take(self, line: str) -> Fault | None:
        with self.lock:
            self.seen.append(line)
            for fault in self.faults:
                if fault.times > 0 and fault.match in line:
                    fault.times -= 1
                    return fault
        return None


def flipped(body: bytes) -> bytes:
    """The body with one bit in its middle flipped."""
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :] if body else body


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy
    upstream: str

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.proxy.take(f"{self.command} {self.path}")
        kind = fault.kind if fault else ""
        if fault and kind == "delay":
            time.sleep(fault.seconds)
        if kind == "hang":
            self.proxy.closed.wait(30)
            return self.drop()
        if kind == "reset":
            return self.drop(reset=True)
        if fault and kind == "status":
            text = f"<Error><Code>{fault.code}</Code><Message>by the proxy</Message></Error>".encode()
            return self.reply(fault.status, [("Content-Type", "application/xml")], text)
        status, headers, answer = self.forward(flipped(body) if kind == "flip_request" else body)
        if kind == "swallow":
            return self.drop()
        if kind == "flip":
            answer = flipped(answer)
        self.reply(status, headers, answer, cut=fault.after if fault and kind == "cut" else None)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

    def forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.upstream, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            connection.close()

    def reply(self, status: int, headers: list[tuple[str, str]], body: bytes, cut: int | None = None) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in {"transfer-encoding", "connection"} and (
                self.command == "HEAD" or name.lower() != "content-length"
            ):
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if cut is None else body[:cut])
        self.wfile.flush()
        if cut is not None:
            self.drop()

    def drop(self, *, reset: bool = False) -> None:
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.rfile.close()
            self.wfile.close()
            self.connection.close()
        else:
            self.connection.shutdown(socket.SHUT_RDWR)

    def finish(self) -> None:
        if not self.wfile.closed:
            super().finish()

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass  # a client that went away is what these tests are about

    def shutdown_request(self, request: object) -> None:
        with suppress(OSError):
            super().shutdown_request(request)  # type: ignore[arg-type]


@contextmanager
def proxy_to(upstream: str) -> Iterator[Proxy]:
    """Run a proxy to `host:port` on a free loopback port."""
    handler = type("BoundHandler", (Handler,), {"upstream": upstream})
    server = Server(("127.0.0.1", 0), handler)
    proxy = Proxy(f"http://127.0.0.1:{server.server_address[1]}")
    handler.proxy = proxy
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.closed.set()
        server.shutdown()
        server.server_close()
        thread.join()
