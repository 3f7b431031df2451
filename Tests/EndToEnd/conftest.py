"""Fixtures: the suite over the built-in model, the suite over a stub embedding server, source databases, datasources."""
import os

import pytest

from embedding_stub import EmbeddingStub
from running import CONFIGURATION, MODEL, RESULTS, SEED, Shop, make_suite, stub_environment
from suite import SERVICES, binaries


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


@pytest.fixture(scope="session")
def stub_suite(request, stub):
    """The suite over the stub embedding server, where every vector and every paid text can be checked."""
    started, remove = make_suite(env=stub_environment(stub))
    yield started
    remove(keep_logs=request.session.testsfailed > 0)


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
