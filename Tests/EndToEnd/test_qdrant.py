"""The suite over a Qdrant, which another indexer plays that stands alone. QDRANT_URL is all that differs: what is found, and what
survives which fault, does not."""
import os
import shutil
import subprocess
import threading
import time

import ledger
import pytest
from running import MODEL, make_suite, stub_environment, wait_until
from suite import LoneIndexer, request
from test_faults import DELAY, HOLD, ROWS, Case, marked
from test_pipeline import catalogue, csv_source, write_file

KEY = "key-of-the-qdrant"
QUERIES = ["cast iron skillet", "a warm jacket", "noise cancelling headphones", "toys for a dog", "P-1001", "red", "gift for a gardener"]


class PlayedQdrant(LoneIndexer):
    def __init__(self, folder, binaries):
        os.makedirs(folder, exist_ok=True)
        super().__init__(os.path.join(binaries, "indexer"), os.path.join(folder, "storage"), os.path.join(folder, "qdrant.log"), KEY)

    def ask(self, method, path, body=None):
        answer = request(method, self.url + path, body, headers={"api-key": KEY})
        assert answer.status == 200, answer
        return answer.json["result"]


def over_qdrant(suite, qdrant):
    """From its next start on the indexer's store is `qdrant`."""
    suite["indexer"].env.update(QDRANT_URL=qdrant.url, QDRANT_API_KEY=KEY, DATA_DIR="/nowhere/to/write")
    suite["orchestrator"].env.update(QDRANT_API_KEY=KEY)


def restart(suite, *names):
    for name in names:
        assert suite[name].stop() == 0
        suite[name].start()



@pytest.fixture(scope="module")
def qdrant(tmp_path_factory, binaries_folder):
    process = PlayedQdrant(str(tmp_path_factory.mktemp("qdrant")), binaries_folder)
    process.start()
    yield process
    process.stop()


# Moving there and back

def answers(suite):
    """In every mode, and everywhere in the list: products with the same words have equal scores, and their ids decide."""
    found = {}
    for query in QUERIES:
        for mode in ("hybrid", "lexical", "semantic"):
            for options in ({}, {"filter": {"must": [{"key": "price", "range": {"lt": 60}}]}}, {"offset": 7}):
                hits = suite.search("products", query, limit=20, mode=mode, **options)["hits"]
                found[query, mode, str(options)] = [(hit["id"], hit["key"], hit["score"], hit["payload"]) for hit in hits]
    return found


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for question, hits in expected.items():
        assert [hit[0] for hit in found[question]] == [hit[0] for hit in hits], question
        for (id_, key, score, payload), other in zip(hits, found[question]):
            assert abs(score - other[2]) < 1e-5 and (key, payload) == (other[1], other[3]), (question, id_)


def run(suite, *words, expected=0, **environment):
    """A command of the indexer, as an operator calls it."""
    done = subprocess.run(
        [*suite["indexer"].argv, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120,
        env={**os.environ, "INDEXER_URL": suite["indexer"].url, "INTERNAL_TOKEN": suite.internal_token, **environment})
    assert done.returncode == expected, (done.returncode, done.stderr.decode())
    return done


@pytest.fixture(scope="module")
def embedded(request):
    """A catalogue in the embedded store, with what is found in it."""
    started, remove = make_suite(model=MODEL, env={} if MODEL else {"EMBEDDING_PROVIDER": "hashing"})
    write_file(started, "catalogue.csv", catalogue())
    source = started.expect("POST", "/api/datasources", csv_source("products", "catalogue.csv", "products"))
    job = started.sync(source["id"])
    assert job["status"] == "completed" and job["successfulRecords"] == 1248, job
    yield started, source, answers(started)
    remove(keep_logs=request.session.testsfailed > 0)


def test_moving_to_a_qdrant_and_back_changes_no_answer(embedded, qdrant, tmp_path):
    suite, source, before = embedded
    name = suite.expect("GET", "/api/collections/products")["name"]

    # A file of it, and a copy in the Qdrant; the suite goes on meanwhile.
    file = str(tmp_path / "products.jsonl.gz")
    assert b"exported 1248 points" in run(suite, "export", name, file).stderr
    assert b"has all 1248 points" in run(suite, "copy", name, qdrant.url, TARGET_API_KEY=KEY).stderr

    # There at once, and the next sync has nothing to pay for.
    over_qdrant(suite, qdrant)
    restart(suite, "indexer", "orchestrator")
    assert_same(answers(suite), before)
    job = suite.sync(source["id"])
    assert job["status"] == "completed" and job["failedRecords"] == 0, job
    assert_same(answers(suite), before)
    assert suite.sync(source["id"])["skippedRecords"] == 1248
    ledger.check_books(suite, name, job, 1248)
    ledger.assert_quiet(suite)
    assert not os.path.exists("/nowhere"), "a folder of its own was made although the store is elsewhere"

    # Filled by the sync alone it is the same.
    collection = physical(qdrant)
    qdrant.ask("DELETE", f"/collections/{collection}")
    job = suite.sync(source["id"])
    assert job["status"] == "completed" and job["successfulRecords"] == 1248, job
    assert_same(answers(suite), before)

    # Back again, with what the file has.
    suite["indexer"].env.update(DATA_DIR=suite.store)
    del suite["indexer"].env["QDRANT_URL"]
    shutil.rmtree(suite.store)
    restart(suite, "indexer")
    refused = run(suite, "import", file, expected=1, QDRANT_API_KEY=KEY).stderr
    assert b"filled by a datasource" in refused, refused
    assert b"imported 1248 points" in run(suite, "import", file, "--replace", QDRANT_API_KEY=KEY).stderr
    assert_same(ids(suite, collection), ids(suite, collection, through=qdrant))
    job = suite.sync(source["id"])
    assert job["status"] == "completed" and job["successfulRecords"] == 1248, job
    assert_same(answers(suite), before)


def physical(qdrant):
    names = [entry["name"] for entry in qdrant.ask("GET", "/collections")["collections"]]
    assert len(names) == 1, names
    return names[0]


def ids(suite, collection, through=None):
    url, key = (through.url, KEY) if through else (suite["indexer"].url, KEY)
    body = {"limit": 2000, "with_payload": True, "with_vector": False}
    answer = request("POST", f"{url}/collections/{collection}/points/scroll", body, headers={"api-key": key})
    assert answer.status == 200, answer
    return {"all": [(point["id"], point["payload"]["_key"], 0.0, point["payload"]) for point in answer.json["result"]["points"]]}


# Faults of either side

@pytest.fixture(scope="module")
def case(request, stub, tmp_path_factory, binaries_folder):
    played = PlayedQdrant(str(tmp_path_factory.mktemp("qdrant-faults")), binaries_folder)
    played.start()
    stub.delay = 0.0
    environment = {**stub_environment(stub), "QDRANT_URL": played.url, "QDRANT_API_KEY": KEY}
    suite, remove = make_suite(env=environment)
    made = Case(suite, stub)
    made.qdrant = played
    yield made
    stub.delay = 0.0
    remove(keep_logs=request.session.testsfailed > 0)
    played.stop()


@pytest.fixture
def slowly(case):
    case.stub.delay = DELAY
    yield
    for process in (case.qdrant, *case.suite.services.values()):
        if not process.is_running:
            process.start()
        process.resume()
    case.cancel_what_is_active()


@pytest.mark.parametrize("victim, how", marked(
    [("qdrant", "kill"), ("indexer", "kill"), ("both", "kill"), ("qdrant", "hold"), ("qdrant", "term")],
    lambda value: value in {("qdrant", "kill"), ("both", "kill")}))
def test_a_sync_survives(case, slowly, victim, how):
    case.new_texts()
    job_id = case.start()
    case.wait_for_progress(job_id, 500)
    processes = {"qdrant": [case.qdrant], "indexer": [case.suite["indexer"]], "both": [case.qdrant, case.suite["indexer"]]}[victim]
    for process in processes:
        if how == "hold":
            process.pause()
        elif how == "kill":
            process.kill()
        else:
            assert process.stop() == 0
    time.sleep(HOLD if how == "hold" else 1.0)
    for process in processes:
        process.resume() if how == "hold" else process.start(wait=False)
    for process in processes:
        process.wait_until_ready()
    case.finish(job_id)


@pytest.mark.fault
def test_a_collection_that_qdrant_lost_is_filled_again(case, slowly):
    case.new_texts()
    job_id = case.start()
    case.wait_for_progress(job_id, 800)
    case.qdrant.kill()
    shutil.rmtree(case.qdrant.data)
    case.qdrant.start()
    job = case.suite.wait_for_job(job_id, limit=60)
    assert job["status"] == "failed" and "things" in job["errorMessage"], job
    case.finish(case.start(), embedder_cuts=1)


@pytest.mark.fault
def test_a_collection_that_somebody_made_anew_is_noticed(case, slowly):
    case.new_texts()
    case.finish(case.start())
    name = physical(case.qdrant)
    parameters = case.qdrant.ask("GET", f"/collections/{name}")["config"]["params"]
    case.qdrant.ask("DELETE", f"/collections/{name}")
    case.qdrant.ask("PUT", f"/collections/{name}", {key: parameters[key] for key in ("vectors", "sparse_vectors") if parameters.get(key)})
    # The indexer compares every five seconds, also while nothing runs.
    wait_until("it is noticed", lambda: "store.replaced" in case.suite["indexer"].log_tail(5))
    case.stub.reset()
    job_id = case.start()      # its rows have not changed; nothing is paid for again
    case.finish(job_id)
    assert case.suite.job(job_id)["successfulRecords"] == ROWS


def test_readiness_and_search_follow_qdrant(case):
    indexer = case.suite["indexer"]
    case.qdrant.pause()
    try:
        deadline = time.monotonic() + 15
        while request("GET", f"{indexer.url}/readyz", timeout=5).status != 503:
            assert time.monotonic() < deadline, "still ready without its Qdrant"
            threading.Event().wait(0.05)
        assert request("GET", f"{indexer.url}/livez").status == 200
    finally:
        case.qdrant.resume()
    indexer.wait_until_ready()


def test_the_surface_is_qdrants_and_a_filled_collection_is_not_written_by_hand(case, slowly):
    case.stub.delay = 0.0
    case.new_texts()
    case.finish(case.start())
    name = physical(case.qdrant)
    url = case.suite["indexer"].url
    body = {"points": [{"id": 1, "vector": {"text": [1.0] * case.stub.dimensions}}]}
    ask = lambda method, path, body=None, **headers: request(method, url + path, body, headers=headers)
    assert ask("PUT", f"/collections/{name}/points?wait=true", body, **{"api-key": KEY}).status == 403
    assert ask("POST", f"/collections/{name}/points/count", {}, **{"api-key": KEY}).json["result"]["count"] == ROWS
    assert ask("GET", "/collections").status == 401
    token = {"authorization": f"Bearer {case.suite.internal_token}"}
    assert ask("GET", "/collections", **token).status == 200
    # Collections of one's own beside it are nobody else's business.
    assert ask("PUT", "/collections/mine", {"vectors": {"size": 2, "distance": "Dot"}}, **{"api-key": KEY}).status == 200
    assert ask("PUT", "/collections/mine/points?wait=true", {"points": [{"id": 1, "vector": [1, 2]}]}, **{"api-key": KEY}).status == 200
    assert case.qdrant.ask("POST", "/collections/mine/points/count", {})["count"] == 1
    assert ask("DELETE", "/collections/mine", **{"api-key": KEY}).status == 200
    assert 'peer="qdrant"' in ask("GET", "/metrics").text
