"""A running indexer for these tests: INDEXER_BINARY, alone (STORE_ONLY), on a free port with a folder of its own."""
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request

import pytest
from qdrant_client import QdrantClient

BINARY = os.environ.get("INDEXER_BINARY", ".build/debug/indexer")
KEY = "key-of-this-test"


class Indexer:
    def __init__(self, folder, *arguments, **environment):
        self.folder, self.arguments, self.environment = folder, arguments, environment
        self.start()

    def start(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        settings = dict(os.environ, PORT=str(self.port), DATA_DIR=self.folder, STORE_ONLY="true", QDRANT_API_KEY=KEY,
                        LOG_LEVEL="warning", ACCESS_LOG="false", **self.environment)
        self.process = subprocess.Popen([BINARY, *self.arguments], env=settings, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"exit {self.process.returncode}: {self.process.stderr.read().decode()}")
            try:
                urllib.request.urlopen(f"{self.url}/readyz", timeout=1)
                return
            except OSError:
                threading.Event().wait(0.02)
        raise AssertionError("not ready within 30 s")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def client(self, **options):
        return QdrantClient(url=self.url, api_key=KEY, timeout=20, **options)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(timeout=15)


@pytest.fixture
def folder():
    path = tempfile.mkdtemp(prefix="indexer.")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def indexer(folder):
    process = Indexer(folder)
    yield process
    process.stop()


@pytest.fixture
def client(indexer):
    client = indexer.client()
    yield client
    client.close()
