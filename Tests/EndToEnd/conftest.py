"""Fixtures: whole suites of six real processes over a PostgreSQL and a Redis of their own (deploy/scripts/suite.py)."""
import os
import random
import shutil
import sys
import tempfile

import psycopg2
import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "deploy", "scripts"))
sys.path.insert(0, os.path.join(ROOT, "deploy", "sample"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from embedding_stub import EmbeddingStub  # noqa: E402
from suite import SERVICES, Suite, binaries  # noqa: E402

# Of everything random; SUITE_SEED repeats a run. Printed at the end, with what `RESULTS` has gathered.
SEED = int(os.environ.get("SUITE_SEED") or random.SystemRandom().randrange(1 << 32))
RESULTS = []    # (seconds to recover, texts paid twice) of each fault case
CONFIGURATION = os.environ.get("SUITE_CONFIGURATION", "debug")
MODEL = os.environ.get("EMBEDDING_MODEL_DIR")
# Of the suite over the stub: a killed embedder has at most so many requests, of so many texts, under way.
BATCH_TEXTS, REQUESTS_IN_FLIGHT = 64, 2
PRICE = 0.02   # dollars for a million tokens


def pytest_configure(config):
    config.addinivalue_line("markers", "fault: kills and holds processes; the short form runs in `make test`")
    config.addinivalue_line("markers", "longfault: the long form, `make fault`")
    missing = [name for name in SERVICES if not os.path.exists(os.path.join(binaries(CONFIGURATION), name))]
    if missing:
        raise pytest.UsageError(f"not built: {', '.join(missing)} ({CONFIGURATION}); run swift build first")


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(f"SUITE_SEED={SEED}")
    if RESULTS:
        seconds, extra = sorted(time for time, _ in RESULTS), [texts for _, texts in RESULTS if texts]
        terminalreporter.write_line(
            f"faults: {len(RESULTS)} jobs recovered, in {seconds[len(seconds) // 2]:.1f} s (median) to {seconds[-1]:.1f} s; "
            f"{len(extra)} of them paid texts twice, at most {max(extra, default=0)}")


@pytest.fixture(scope="session")
def binaries_folder():
    return binaries(CONFIGURATION)


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


@pytest.fixture(scope="session")
def suite(request):
    """The suite as a user starts it: the built-in model, or its hashing fallback."""
    started, remove = make_suite(model=MODEL, env={} if MODEL else {"EMBEDDING_PROVIDER": "hashing"})
    yield started
    remove(keep_logs=request.session.testsfailed > 0)


@pytest.fixture(scope="session")
def stub():
    server = EmbeddingStub()
    yield server
    server.close()


def stub_environment(stub):
    return {
        "EMBEDDING_PROVIDER": "openai", "EMBEDDING_MODEL": "stub", "EMBEDDING_DIMENSIONS": str(stub.dimensions),
        "OPENAI_BASE_URL": stub.url, "OPENAI_API_KEY": "sk-of-the-stub",
        "EMBEDDING_BATCH_SIZE": str(BATCH_TEXTS), "EMBEDDING_CONCURRENCY": str(REQUESTS_IN_FLIGHT),
        "EMBEDDING_COST_PER_MILLION_TOKENS": str(PRICE), "HARVEST_PAGE_ROWS": "300",
        # The dead are noticed sooner; tests that hold one hold it longer than this.
        "QUEUE_LEASE_SECONDS": "2", "PROCESSOR_LEASE_SECONDS": "2",
    }


@pytest.fixture(scope="session")
def stub_suite(request, stub):
    """The suite over the stub embedding server, where every vector and every paid text can be checked."""
    started, remove = make_suite(env=stub_environment(stub))
    yield started
    remove(keep_logs=request.session.testsfailed > 0)


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


@pytest.fixture(scope="session")
def shops():
    made = {}

    def shop(suite, name):
        key = (id(suite), name)
        if key not in made:
            made[key] = Shop(suite, name)
        return made[key]

    yield shop
    for each in made.values():
        each.connection.close()


@pytest.fixture
def datasource():
    """Creates datasources and removes them after the test."""
    created = []

    def create(suite, **body):
        made = suite.expect("POST", "/api/datasources", body, statuses=(201,))
        created.append((suite, made["id"]))
        return made

    yield create
    for suite, identifier in created:
        suite.call("DELETE", f"/api/datasources/{identifier}?deletePoints=true")
