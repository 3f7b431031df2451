"""A running indexer for these tests: INDEXER_BINARY, alone, with a folder of its own."""
import contextlib
import os
import shutil
import sys
import tempfile

import pytest
from qdrant_client import QdrantClient

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "deploy", "scripts"))

from suite import LoneIndexer  # noqa: E402

BINARY = os.path.abspath(os.environ.get("INDEXER_BINARY", ".build/debug/indexer"))
KEY = "key-of-this-test"


class Indexer(LoneIndexer):
    def __init__(self, folder, **environment):
        super().__init__(BINARY, folder, folder + ".log", KEY, environment)
        self.start()

    def client(self, **options):
        return QdrantClient(url=self.url, api_key=KEY, timeout=20, **options)


@contextlib.contextmanager
def running_indexer(**environment):
    """In a folder that goes with it."""
    with new_folder() as path:
        process = Indexer(path, **environment)
        try:
            yield process
        finally:
            process.stop()


@contextlib.contextmanager
def new_folder():
    path = tempfile.mkdtemp(prefix="indexer.")
    try:
        yield os.path.join(path, "data")
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def folder():
    with new_folder() as path:
        yield path


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
