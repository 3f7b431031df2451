"""An OpenAI-compatible embedding server for tests: the vector follows from the text alone, and every text answered is counted."""
import base64
import hashlib
import json
import struct
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def vector(text, dimensions):
    """Unit length, different for different texts."""
    block = hashlib.shake_256(text.encode()).digest(2 * dimensions)
    numbers = [value / 32768.0 for value in struct.unpack(f"<{dimensions}h", block)]
    length = sum(number * number for number in numbers) ** 0.5
    return [number / length for number in numbers]


class EmbeddingStub:
    """`billed`: {text: times answered}. `poison`: a text that holds one of these is refused with 400, and its whole request with it."""

    def __init__(self, dimensions=64, delay=0.0):
        self.dimensions, self.delay = dimensions, delay
        self.billed, self.poison, self.requests = Counter(), set(), 0
        self.largest = 0
        self.failing = 0     # so many requests answer 503 first
        self.lock = threading.Lock()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
                if stub.delay:
                    time.sleep(stub.delay)
                with stub.lock:
                    stub.requests += 1
                    stub.largest = max(stub.largest, len(texts))
                    failing, stub.failing = stub.failing > 0, max(0, stub.failing - 1)
                    bad = any(word in text for word in stub.poison for text in texts)
                    if not failing and not bad:
                        stub.billed.update(texts)
                if failing:
                    return self.answer(503, {"error": {"message": "overloaded", "type": "server_error"}})
                if bad:
                    return self.answer(400, {"error": {"message": "input refused", "type": "invalid_request_error"}})
                dimensions = body.get("dimensions") or stub.dimensions
                data = []
                for index, text in enumerate(texts):
                    numbers = vector(text, dimensions)
                    if body.get("encoding_format") == "base64":
                        numbers = base64.b64encode(struct.pack(f"<{dimensions}f", *numbers)).decode()
                    data.append({"object": "embedding", "index": index, "embedding": numbers})
                tokens = sum(len(text) // 4 + 1 for text in texts)
                self.answer(200, {"object": "list", "data": data, "model": body.get("model", "stub"),
                                  "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})

            def do_GET(self):
                self.answer(200, {"object": "list", "data": [{"id": "stub", "object": "model"}]})

            def answer(self, status, body):
                raw = json.dumps(body).encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(raw)))
                    self.end_headers()
                    self.wfile.write(raw)
                except OSError:
                    pass   # the caller was killed meanwhile

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def total(self):
        with self.lock:
            return sum(self.billed.values())

    def reset(self):
        with self.lock:
            self.billed.clear()
            self.requests = self.largest = 0

    def close(self):
        self.server.shutdown()
        self.server.server_close()
