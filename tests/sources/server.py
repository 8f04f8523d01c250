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
    """

    status: int | None = None
    cut: int | None = None
    stall: bool = False
    ranges: bool = True
    length: bool = True


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
        if answer.status is not None:
            self._refuse(answer.status)
        elif asked and answer.ranges and start >= len(told.body):
            self._refuse(416)
        else:
            self._send(answer, start if asked and answer.ranges else None)

    def _refuse(self, status: int) -> None:
        self.send_response(status)
        if status == 416:
            self.send_header("Content-Range", f"bytes */{len(self.told.body)}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, answer: Answer, start: int | None) -> None:
        whole = self.told.body
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
        self.wfile.write(part if answer.length else b"%x\r\n%s\r\n" % (len(part), part))
        if not answer.length and answer.cut is None:
            self.wfile.write(b"0\r\n\r\n")
        if answer.stall:
            self.wfile.flush()
            self.told.stopped.wait(5)
