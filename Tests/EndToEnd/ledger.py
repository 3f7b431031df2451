"""The ledger: what must hold after a sync, whatever happened while it ran."""
import time

from embedding_stub import vector
from suite import request


def points(suite, collection):
    """Every point of a collection, by the key of its record: (payload, vector, how many points have that key)."""
    found, offset = {}, None
    while True:
        body = {"limit": 500, "with_payload": True, "with_vector": True}
        if offset is not None:
            body["offset"] = offset
        answer = store(suite, "POST", f"/collections/{collection}/points/scroll", body)
        for point in answer["points"]:
            key = point["payload"]["_key"]
            vectors = point["vector"]
            numbers = vectors["text"] if isinstance(vectors, dict) else vectors
            found[key] = (point["payload"], numbers, found.get(key, (None, None, 0))[2] + 1)
        offset = answer.get("next_page_offset")
        if offset is None:
            return found


def count(suite, collection):
    return store(suite, "POST", f"/collections/{collection}/points/count", {"exact": True})["count"]


def store(suite, method, path, body=None):
    """The indexer's Qdrant surface, as a Qdrant client would ask it."""
    answer = request(method, suite["indexer"].url + path, body, headers={"api-key": suite.internal_token})
    assert answer.status == 200, f"{method} {path}: {answer}"
    return answer.json["result"]


def check(suite, stub, collection, expected, job, unchanged=0, deleted=0, failed=0):
    """`expected`: {key: (text, payload fields)} of every row of the source."""
    # One terminal state, and counters that reconcile.
    assert job["status"] == "completed", job
    assert job["failedRecords"] == failed, job
    assert job["deletedRecords"] == deleted, job
    assert job["processedRecords"] == job["successfulRecords"] + job["skippedRecords"] + job["failedRecords"], job
    assert job["totalRecords"] == job["processedRecords"] == len(expected) + failed, job
    assert job["skippedRecords"] >= unchanged, job

    # Every row exactly one point with the right vector and payload, and no other point.
    found = points(suite, collection)
    assert found.keys() == expected.keys(), (
        f"missing {sorted(expected.keys() - found.keys())[:5]}, too many {sorted(found.keys() - expected.keys())[:5]}")
    for key, (text, fields) in expected.items():
        payload, numbers, times = found[key]
        assert times == 1, f"{key} has {times} points"
        for name, value in fields.items():
            assert payload[name] == value, f"{key}.{name}: {payload[name]!r} is not {value!r}"
        right = vector(text, stub.dimensions)
        distance = max(abs(a - b) for a, b in zip(numbers, right))
        assert len(numbers) == len(right) and distance < 1e-3, f"{key}: not the vector of its text (off by {distance})"

    check_books(suite, collection, job, 0 if failed else len(expected))
    assert_quiet(suite)
    again = suite.job(job["id"])
    assert again["status"] == "completed" and again["processedRecords"] == job["processedRecords"], "an ended job changed"


def check_books(suite, collection, job, records):
    """What PostgreSQL says agrees: nothing open, no body kept, and of every record (0: not checked) what the store holds is known."""
    sql = lambda text: suite.postgres.psql(text, database="suite", user="suite")
    batches = f"sync_batches WHERE job_id = '{job['id']}'"
    assert sql(f"SELECT count(*) FROM {batches} AND state IN ('pending', 'queued')") == [["0"]]
    assert sql(f"SELECT count(*) FROM sync_batch_bodies WHERE batch_id IN (SELECT id FROM {batches})") == [["0"]]
    if records:
        active = ("SELECT v.physical_name FROM vector_collection_versions v JOIN vector_collections c ON c.id = v.collection_id "
                  f"WHERE c.name = '{collection}' AND v.state = 'active'")
        known = sql(f"SELECT count(*), count(content_hash) FROM record_states WHERE collection_id = ({active}) AND NOT gone")
        assert known == [[str(records), str(records)]], f"record_states: {known}, {records} are there"


def assert_quiet(suite, limit=15):
    """Lists empty, no body left behind, leases of the living only. What is being acknowledged gets a moment."""
    deadline = time.monotonic() + limit
    while True:
        lists = {name: length for name, length in suite.redis.lists().items() if length}
        keys = suite.redis.keys()
        bodies = [key for key in keys if key.startswith(("body:", "staged:"))]
        leases = sorted(key.split(":")[1] for key in keys if key.startswith("lease:"))
        if not lists and not bodies and leases == ["embed", "harvest", "index"]:
            return
        assert time.monotonic() < deadline, f"not quiet: lists {lists}, {len(bodies)} bodies like {bodies[:3]}, leases {leases}"
        time.sleep(0.1)
