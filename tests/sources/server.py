"""A local HTTP server that serves one file well or badly, as told answer by answer, and keeps count."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    """How to answer one request; the default is the whole of what was asked for.

    Attributes:
        status: an error status to send with an empty body; None for success (200 or 206).
        cut: close the connection after so many bytes of the body; None sends them all.
        stall: after `cut` bytes send nothing more, and keep the connection open.
        ranges: honour a Range header; otherwise send the whole with 200.
        length: announce Content-Length; otherwise the body is sent in HTTP chunks.
        location: with a `status` of 3xx, where it redirects to.
        body: send this in place of what the server serves, and honour no Range header.
        shift: answer a Range header with bytes that start so much later than asked for, and say so.
        trickle: send the body in pieces of so many bytes, one each 10 ms; None sends it at once.
    """

    status: int | None = None
    cut: int | None = None
    stall: bool = False
    ranges: bool = True
    length: bool = True
    location: str | None = None
    body: bytes | None = None
    shift: int = 0
    trickle: int | None = None


@dataclass
class Server:
    """What it serves (`body`), how (`answers`, then `usual`), and what happened.

    Attributes:
        requests: the first byte that each request asked for.
        sent: bytes of body sent for each successful request.
        paths: the path of each request.
        headers: the headers of each request, names in lower case.
    """

    body: bytes
    address: str = ""
    usual: Answer = field(default_factory=Answer)
    answers: list[Answer] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serve(body: bytes) -> Iterator[Server]:
    """Serve `body` under every path of a port of the loopback interface that is free."""
    server = Server(body)

    class Handler(_Handler):
        told = server

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.address = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.stopped.set()
        http.shutdown()
        thread.join()
        http.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    told: Server

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        told = self.told
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        told.paths.append(self.path)
        told.requests.append(start)
        told.headers.append({name.lower(): value for name, value in self.headers.items()})
        self.close_connection = True
        answer = told.answers.pop(0) if told.answers else told.usual
        ranged = bool(asked) and answer.ranges and answer.body is None
        if answer.status is not None:
            self._refuse(answer.status, answer.location)
        elif ranged and start >= len(told.body):
            self._refuse(416)
        else:
            self._send(answer, start + answer.shift if ranged else None)

    def _refuse(self, status: int, location: str | None = None) -> None:
        self.send_response(status)
        if location is not None:
            self.send_header("Location", location)
        if status == 416:
            self.send_header("Content-Range", f"bytes */{len(self.told.body)}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, answer: Answer, start: int | None) -> None:
        whole = self.told.body if answer.body is None else answer.body
        rest = whole[start or 0 :]
        self.send_response(200 if start is None else 206)
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
        if answer.length:
            self.send_header("Content-Length", str(len(rest)))
        else:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        part = rest[: answer.cut]
        self.told.sent.append(len(part))
        step = answer.trickle or max(1, len(part))
        for place in range(0, len(part), step):
            piece = part[place : place + step]
            self.wfile.write(piece if answer.length else b"%x\r\n%s\r\n" % (len(piece), piece))
            if answer.trickle and self.told.stopped.wait(0.01):
                return
        if not answer.length and answer.cut is None:
            self.wfile.write(b"0\r\n\r\n")
        if answer.stall:
            self.wfile.flush()
            self.told.stopped.wait(5)
