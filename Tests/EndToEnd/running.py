"""What the tests share besides fixtures: whole suites of six real processes over a PostgreSQL and a Redis of their own
(deploy/scripts/suite.py), and a source database. A module of its own: `conftest` is the name of several files."""
import os
import random
import shutil
import sys
import tempfile
import time

import psycopg2

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "deploy", "scripts"))
sys.path.insert(0, os.path.join(ROOT, "deploy", "sample"))

from suite import Suite, binaries  # noqa: E402

# Of everything random; SUITE_SEED repeats a run. Printed at the end, with what `RESULTS` has gathered.
SEED = int(os.environ.get("SUITE_SEED") or random.SystemRandom().randrange(1 << 32))
RESULTS = []    # (seconds to recover, texts paid twice) of each fault case
CONFIGURATION = os.environ.get("SUITE_CONFIGURATION", "debug")
MODEL = os.environ.get("EMBEDDING_MODEL_DIR")
# Of the suite over the stub: a killed embedder has at most so many requests, of so many texts, under way.
BATCH_TEXTS, REQUESTS_IN_FLIGHT = 64, 2
PRICE = 0.02   # dollars for a million tokens


def make_suite(**options):
    """A started suite in a folder of its own, and how to remove both."""
    folder = tempfile.mkdtemp(prefix="suite-e2e.")
    os.chmod(folder, 0o711)
    suite = Suite(folder, binaries(CONFIGURATION), database_options=("fsync=off",), **options)

    def remove(keep_logs=False):
        codes = suite.stop()
        if keep_logs:
            print(f"logs are in {suite.logs}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(suite.postgres.folder, ignore_errors=True)
        return codes

    try:
        suite.start()
    except BaseException:
        remove(keep_logs=True)
        raise
    return suite, remove


def wait_until(what, condition, limit=40):
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"waited {limit} s for: {what}"
        time.sleep(0.02)


def stub_environment(stub):
    return {
        "EMBEDDING_PROVIDER": "openai", "EMBEDDING_MODEL": "stub", "EMBEDDING_DIMENSIONS": str(stub.dimensions),
        "OPENAI_BASE_URL": stub.url, "OPENAI_API_KEY": "sk-of-the-stub",
        "EMBEDDING_BATCH_SIZE": str(BATCH_TEXTS), "EMBEDDING_CONCURRENCY": str(REQUESTS_IN_FLIGHT),
        "EMBEDDING_COST_PER_MILLION_TOKENS": str(PRICE), "HARVEST_PAGE_ROWS": "300",
        # The dead are noticed sooner; tests that hold one hold it longer than this.
        "QUEUE_LEASE_SECONDS": "2", "PROCESSOR_LEASE_SECONDS": "2",
    }


class Shop:
    """A source database with one table, changed by tests as somebody else's shop would be."""

    def __init__(self, suite, name):
        suite.postgres.make_database(name, "catalogue")
        self.suite, self.name = suite, name
        self.connect()

    def connect(self):
        self.connection = psycopg2.connect(self.suite.postgres.url(self.name, "catalogue"))
        self.connection.autocommit = True

    def run(self, sql, *values):
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(sql, values or None)
                return cursor.fetchall() if cursor.description else None
        except psycopg2.OperationalError:
            if self.connection.closed:   # the server was restarted; the test says when
                self.connect()
                return self.run(sql, *values)
            raise

    def config(self, **more):
        postgres = self.suite.postgres
        return {"host": "127.0.0.1", "port": postgres.port, "database": self.name, "user": "catalogue",
                "password": postgres.password, **more}
