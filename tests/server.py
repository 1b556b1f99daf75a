"""A real HTTP server on this machine that speaks OpenAI's protocol and fails as it is told.

Embeddings are those of ``HashingEmbedder``; a chat says ``CHAT_REPLY``. Faults wait in a
queue, one for each request that comes; without one the request is answered properly.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from rag.testing import HashingEmbedder

CHAT_REPLY = "The pilot boards at the fairway buoy [1]. 引航员在此登船。"
USAGE = {"prompt_tokens": 21, "completion_tokens": 17, "total_tokens": 38}

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: Json


@dataclass(frozen=True, kw_only=True)
class Fault:
    """How one request is answered instead."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """The whole reply; None: the proper one, changed by ``change``."""
    delay_s: float = 0.0
    change: Callable[[Any], Any] = lambda reply: reply
    """Changes the JSON of embeddings, or the list of a chat's chunks."""
    breaks_after: int | None = None
    """Chunks of a stream after which the connection is cut."""
    silent_end: bool = False
    """A stream that breaks looks like one that ended: no error on the connection."""
    pause_s: float = 0.0
    """Between the first chunk of a stream and the second."""


def status(code: int, *, message: str = "told to fail", **headers: str) -> Fault:
    """Fail with a status; ``retry_after="0.01"`` becomes the header ``retry-after``."""
    return refusal(code, {"message": message}, {k.replace("_", "-"): v for k, v in headers.items()})


def refusal(code: int, error: Json, headers: dict[str, str] | None = None) -> Fault:
    """Fail with a status and an error object."""
    return Fault(status=code, headers=headers or {}, body=json.dumps({"error": error}).encode())


def too_long() -> Fault:
    """Refuse a text as OpenAI does."""
    message = "This model's maximum context length is 512 tokens, however you requested 600 tokens"
    return status(400, message=message)


def slow(seconds: float) -> Fault:
    """Answer properly, but late."""
    return Fault(delay_s=seconds)


def raw(body: bytes, *, content_type: str = "application/json") -> Fault:
    """Answer these very bytes with status 200."""
    return Fault(body=body, headers={"content-type": content_type})


class Server:
    """The server, for the length of a ``with``; requests of all threads land in one list."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.faults: deque[Fault] = deque()
        self.chat_reply = CHAT_REPLY
        self.cut_off = threading.Event()
        """Set when a client closed the connection before a stream ended."""
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        # A short poll keeps the shutdown of every test short.
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(_Handler):
            owner = server

        return Handler


class _Handler(BaseHTTPRequestHandler):
    owner: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing: standard error belongs to the tests."""

    def handle(self) -> None:
        # A client that hangs up, before a reply or between two, is no failure of the server.
        try:
            super().handle()
        except ConnectionError:
            self.owner.cut_off.set()

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        body = json.loads(self.rfile.read(length))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.owner.requests.append(Request(path=self.path, headers=headers, body=body))
        fault = self.owner.faults.popleft() if self.owner.faults else Fault()
        self._reply(fault, body)

    def _reply(self, fault: Fault, body: Json) -> None:
        time.sleep(fault.delay_s)
        if fault.body is not None:
            self._send(fault.status, fault.body, fault.headers)
        elif self.path == "/v1/embeddings":
            self._send_json(fault.change(_embeddings(body)))
        elif self.path == "/v1/chat/completions" and body.get("stream"):
            self._send_stream(fault, _chunks(body, self.owner.chat_reply))
        elif self.path == "/v1/chat/completions":
            self._send_json(fault.change(_completion(body, self.owner.chat_reply)))
        else:
            self._send(404, b'{"error": {"message": "no such address"}}', {})

    def _send_json(self, content: object) -> None:
        self._send(200, json.dumps(content).encode(), {})

    def _send(self, code: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in {
            "content-type": "application/json",
            "content-length": str(len(body)),
            **headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _send_stream(self, fault: Fault, chunks: list[Json]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        if fault.silent_end:
            self.send_header("connection", "close")
        else:
            self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        events = [*(json.dumps(chunk) for chunk in fault.change(chunks)), "[DONE]"]
        for number, event in enumerate(events):
            if number == fault.breaks_after:
                self.close_connection = True
                return
            if number == 1:
                time.sleep(fault.pause_s)
            self._write(f"data: {event}\n\n".encode(), chunked=not fault.silent_end)
        if not fault.silent_end:
            self.wfile.write(b"0\r\n\r\n")

    def _write(self, part: bytes, *, chunked: bool) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
        self.wfile.flush()


def _embeddings(body: Json) -> Json:
    rows = HashingEmbedder().embed_documents(body["input"])
    return {
        "object": "list",
        "model": body["model"],
        # Longer than 1, so that a client that does not normalise is found out.
        "data": [
            {"object": "embedding", "index": index, "embedding": (3 * row).tolist()}
            for index, row in enumerate(rows)
        ],
        "usage": {"prompt_tokens": 1, "total_tokens": 1},
    }


def _completion(body: Json, text: str) -> Json:
    message = {"role": "assistant", "content": text}
    return {
        "id": "chat-1",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": USAGE,
    }


def _chunks(body: Json, text: str) -> list[Json]:
    """Cut a reply as servers do: the role, pieces, the reason of the end, then the usage."""
    pieces = [text[start : start + 5] for start in range(0, len(text), 5)]
    deltas: list[tuple[Json, str | None]] = [
        ({"role": "assistant", "content": ""}, None),
        *(({"content": piece}, None) for piece in pieces),
        ({}, "stop"),
    ]
    chunks = [
        _chunk(body, [{"index": 0, "delta": delta, "finish_reason": reason}])
        for delta, reason in deltas
    ]
    if (body.get("stream_options") or {}).get("include_usage"):
        chunks.append({**_chunk(body, []), "usage": USAGE})
    return chunks


def _chunk(body: Json, choices: list[Json]) -> Json:
    return {
        "id": "chat-1",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": body["model"],
        "choices": choices,
    }
