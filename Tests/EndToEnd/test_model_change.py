"""Another embedding model for a collection that is searched all the while: rebuild, switch, rollback, comparison."""
import threading

import ledger
import pytest
from running import MODEL as MODEL_FOLDER
from running import PRICE, Shop, wait_until
from embedding_stub import vector
from suite import request
from test_pipeline import catalogue, csv_source, write_file

ROWS = 400
MODEL, DIMENSIONS = "stub-2", 96


class Shelf:
    """One table, one collection."""

    def __init__(self, suite, stub, create, name, **more):
        self.suite, self.stub, self.name = suite, stub, name
        self.shop = Shop(suite, "shelves")
        self.shop.run(f"DROP TABLE IF EXISTS {name}")
        self.shop.run(f"CREATE TABLE {name} (id integer PRIMARY KEY, name text, changed timestamptz NOT NULL DEFAULT now())")
        self.shop.run(f"INSERT INTO {name} SELECT n, '{name} thing ' || n FROM generate_series(1, {ROWS}) n")
        self.source = create(suite, **{
            "name": name, "type": "postgresql", "connectionConfig": self.shop.config(table=name),
            "fieldMapping": {"id": "id", "name": "name", "updatedAt": "changed"}, "embeddingFields": ["name"],
            "qdrantCollection": name, **more})
        job = suite.sync(self.source["id"])
        assert job["status"] == "completed" and job["collectionVersion"] == 1, job

    def path(self, action=""):
        return f"/api/collections/{self.name}" + (f"/{action}" if action else "")

    def texts(self):
        return {str(id_): name for id_, name in self.shop.run(f"SELECT id, name FROM {self.name}")}

    def search(self, text=None):
        # By meaning: that is what a model changes.
        return self.suite.call("POST", "/api/search", {
            "collection": self.name, "query": text or f"{self.name} thing 7", "limit": 10, "mode": "semantic"})

    def hits(self):
        return [(hit["key"], round(hit["score"], 5)) for hit in self.search().json["hits"]]

    def rebuild(self, **body):
        body.setdefault("embedding", {"model": MODEL, "dimensions": DIMENSIONS})
        return self.suite.expect("POST", self.path("rebuild"), body, statuses=(202,))

    def sync_dry(self):
        return self.suite.sync(self.source["id"], options={"dryRun": True})

    def wait_until_ready(self, limit=60):
        wait_until("the new version is complete", lambda: self.suite.expect("GET", self.path("rebuild"))["ready"], limit)

    def jobs(self, version):
        items = self.suite.expect("GET", f"/api/sync/jobs?datasourceId={self.source['id']}&limit=100")["items"]
        return [job for job in items if job["collectionVersion"] == version]

    def active(self):
        return self.suite.expect("GET", self.path())["version"]

    def states(self):
        return {version["number"]: version["state"] for version in self.suite.expect("GET", self.path())["versions"]}

    def check(self, version, dimensions):
        """Every row exactly one point with the vector of its text, in that version's space."""
        found, texts = ledger.points(self.suite, f"{self.name}@{version}"), self.texts()
        assert found.keys() == texts.keys()
        for key, text in texts.items():
            payload, numbers, times = found[key]
            assert times == 1 and payload["name"] == text and len(numbers) == dimensions
            assert max(abs(a - b) for a, b in zip(numbers, vector(text, dimensions))) < 1e-3, f"{key}: not the vector of its text"

    def paid(self):
        """How often each row's text was paid for."""
        with self.stub.lock:
            return {text: self.stub.billed[text] for text in self.texts().values()}

    def alias(self):
        """What a client of the store finds under the collection's name."""
        aliases = ledger.store(self.suite, "GET", "/aliases")["aliases"]
        return next((entry["collection_name"] for entry in aliases if entry["alias_name"] == self.name), None)


class Searching:
    """Searches all the time, and keeps every answer."""

    def __init__(self, shelf, tolerates_restarts=False):
        self.shelf, self.answers, self.failed, self.ended = shelf, [], [], threading.Event()
        self.tolerates = (0,) if tolerates_restarts else ()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.ended.is_set():
            answer = self.shelf.search()
            if answer.status == 200:
                self.answers.append(tuple((hit["key"], round(hit["score"], 5)) for hit in answer.json["hits"]))
            elif answer.status not in self.tolerates:
                self.failed.append(answer)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


@pytest.fixture
def shelf(stub_suite, stub, datasource):
    yield lambda name, **more: Shelf(stub_suite, stub, datasource, name, **more)
    stub.delay = 0.0


def test_a_rebuild_is_never_noticed_by_a_search(shelf, stub):
    table = shelf("novels")
    before = tuple(table.hits())
    assert before[0][0] == "7" and table.alias() == "novels@1"
    with Searching(table) as searching:
        stub.reset()
        stub.delay = 0.3
        begun = table.rebuild()
        assert begun["version"]["number"] == 2 and not begun["ready"], begun
        early = table.suite.call("POST", table.path("switch"))
        assert early.status == 409 and "novels" in early.json["missing"][0], early
        assert table.rebuild()["version"]["number"] == 2, "the same request finds the same rebuild"
        stub.delay = 0.0
        table.wait_until_ready()
        assert set(table.paid().values()) == {1}, "each text is paid for once in the new space"

        same = table.suite.expect("POST", table.path("comparison"), {
            "queries": ["novels thing 7", "novels thing 9"], "limit": 5, "mode": "semantic"})
        assert len(same["queries"]) == 2 and same["active"]["number"] == 1 and same["version"]["number"] == 2
        first = same["queries"][0]
        assert first["active"][0]["key"] == first["version"][0]["key"] == "7" and len(first["version"]) == 5
        shared = {hit["key"] for hit in first["active"]} & {hit["key"] for hit in first["version"]}
        assert first["overlap"] == len(shared) / 5 and 0 < same["meanOverlap"] <= 1
        moved = {change["key"]: (change["activeRank"], change["versionRank"]) for change in first["changes"]}
        assert "7" not in moved and len(moved) >= 5 - len(shared)
        samples = table.suite.expect("GET", table.path("comparison") + "?samples=3")
        assert len(samples["queries"]) == 3 and samples["mode"] == "hybrid"
        assert all(entry["query"].startswith("novels thing") and len(entry["active"]) == 10 for entry in samples["queries"])

        switched = table.suite.expect("POST", table.path("switch"))
        assert switched["version"] == 2 and switched["vectorSize"] == DIMENSIONS and MODEL in switched["embeddingSpace"]
        after = tuple(table.hits())
        assert after[0][0] == "7" and after != before and table.alias() == "novels@2"
        assert table.suite.expect("POST", table.path("rollback"))["version"] == 1
        assert tuple(table.hits()) == before and table.alias() == "novels@1"
        assert table.suite.expect("POST", table.path("switch"))["version"] == 2
        assert tuple(table.hits()) == after
        assert set(table.paid().values()) == {1} | ({2} if table.paid()["novels thing 7"] == 2 else set()), "nothing was paid for again"
    assert not searching.failed, searching.failed[:3]
    assert len(searching.answers) > 10 and set(searching.answers) == {before, after}, "an answer was of neither version"
    table.check(1, stub.dimensions)
    table.check(2, DIMENSIONS)
    ledger.assert_quiet(table.suite)


def test_each_sync_goes_into_both_versions(shelf, stub):
    table = shelf("plays")
    table.rebuild()
    table.wait_until_ready()
    table.shop.run("UPDATE plays SET name = name || ' in blue', changed = now() WHERE id <= 20")
    table.shop.run("DELETE FROM plays WHERE id > 390")
    stub.reset()
    started = table.suite.expect("POST", f"/api/sync/full/{table.source['id']}", {})
    assert started["collectionVersion"] == 1
    assert [job["collectionVersion"] for job in started["otherVersions"]] == [2], started
    for job in (started, *started["otherVersions"]):
        job = table.suite.wait_for_job(job["id"])
        assert job["status"] == "completed" and job["successfulRecords"] == 20 and job["deletedRecords"] == 10, job
    assert {text: times for text, times in table.paid().items() if times} == {
        text: 2 for text in table.texts().values() if "blue" in text}, "each changed text once for each model"
    table.check(1, stub.dimensions)
    table.check(2, DIMENSIONS)

    # After the switch the version before is kept in step too: a rollback finds what came since.
    table.suite.expect("POST", table.path("switch"))
    table.shop.run("UPDATE plays SET name = name || ' in green', changed = clock_timestamp() WHERE id <= 5")
    started = table.suite.expect("POST", f"/api/sync/incremental/{table.source['id']}", {})
    assert started["collectionVersion"] == 2 and [job["collectionVersion"] for job in started["otherVersions"]] == [1]
    for job in (started, *started["otherVersions"]):
        assert table.suite.wait_for_job(job["id"])["status"] == "completed"
    table.check(1, stub.dimensions)
    table.check(2, DIMENSIONS)
    table.suite.expect("POST", table.path("rollback"))
    assert "green" in table.search("plays thing 3 in blue in green").json["hits"][0]["payload"]["name"]


def test_a_dry_run_says_what_it_would_cost_in_each_version(shelf, stub):
    table = shelf("songs")
    stub.reset()
    begun = table.suite.expect("POST", f"/api/sync/full/{table.source['id']}", {"dryRun": True, "force": True})
    job = table.suite.wait_for_job(begun["id"])
    tokens = sum(len(text) // 4 + 1 for text in table.texts().values())
    assert job["estimate"]["embeddings"] == ROWS and job["estimate"]["tokens"] == tokens, job["estimate"]
    costs = {entry["provider"]: entry for entry in job["estimate"]["providers"]}
    assert costs["openai"]["cost"] == pytest.approx(tokens * PRICE / 1e6) and costs["openai"]["isCollections"]
    assert costs["hashing"]["cost"] == 0 and stub.total == 0
    table.shop.run("UPDATE songs SET name = name || ' again' WHERE id <= 3")
    job = table.sync_dry()
    assert job["estimate"]["embeddings"] == 3 and job["skippedRecords"] == ROWS - 3 and stub.total == 0, job


def test_a_version_that_fell_behind_is_brought_up_before_the_switch(shelf, stub):
    """The rebuild's own sync is under way when another sync brings news: the keeper brings them after it."""
    table = shelf("essays")
    stub.delay = 0.4
    table.rebuild(switchWhenReady=True)
    stub.delay = 0.05
    table.shop.run("UPDATE essays SET name = name || ' anew', changed = clock_timestamp() WHERE id % 2 = 0")
    job = table.suite.wait_for_job(table.suite.expect("POST", f"/api/sync/full/{table.source['id']}", {})["id"])
    assert job["status"] == "completed" and job["collectionVersion"] == 1
    stub.delay = 0.0
    wait_until("switched", lambda: table.active() == 2, 60)
    table.check(2, DIMENSIONS)
    assert table.alias() == "essays@2"


def test_between_two_providers_by_itself(shelf, stub):
    """From the embedding server to feature hashing and back, both serving at once."""
    table = shelf("poems", embedding={"provider": "openai", "model": "stub", "template": "{{name}}"})
    with Searching(table) as searching:
        table.rebuild(embedding={"provider": "hashing", "template": "A poem: {{name}}"}, switchWhenReady=True)
        wait_until("switched", lambda: table.active() == 2, 60)
    assert not searching.failed, searching.failed[:3]
    found = ledger.points(table.suite, "poems")
    assert len(found) == ROWS and {len(numbers) for _, numbers, _ in found.values()} == {384}
    settings = table.suite.expect("GET", f"/api/datasources/{table.source['id']}")["embedding"]
    assert settings["provider"] == "hashing" and settings["template"] == "A poem: {{name}}", settings
    refused = table.suite.call("PUT", f"/api/datasources/{table.source['id']}", {"embedding": {"provider": "openai"}})
    assert refused.status == 409 and "/rebuild" in refused.text, refused
    table.suite.expect("POST", table.path("rollback"))
    settings = table.suite.expect("GET", f"/api/datasources/{table.source['id']}")["embedding"]
    assert settings["provider"] == "openai" and settings["template"] == "{{name}}", settings
    assert table.hits()[0][0] == "7"
    job = table.suite.sync(table.source["id"])
    assert job["skippedRecords"] == ROWS, job


@pytest.mark.skipif(not MODEL_FOLDER, reason="needs the language model")
def test_from_feature_hashing_to_the_built_in_model(suite, datasource):
    """Whoever began without the model's files comes to them without a gap, and a paraphrase finds its product."""
    write_file(suite, "gap.csv", catalogue(200))
    source = datasource(suite, **csv_source("gap", "gap.csv", "gap", embedding={"provider": "hashing"}))
    job = suite.sync(source["id"])
    assert job["successfulRecords"] == 200, job
    query = "helps a newborn fall asleep"
    first = lambda: suite.search("gap", query, limit=1, mode="semantic")["hits"][0]["payload"]["name"]
    assert "white noise" not in first().lower()
    suite.expect("POST", "/api/collections/gap/rebuild", {"embedding": {"provider": "local"}})
    wait_until("the new version is complete", lambda: suite.expect("GET", "/api/collections/gap/rebuild")["ready"], 60)
    compared = suite.expect("POST", "/api/collections/gap/comparison", {"queries": [query], "mode": "semantic"})["queries"][0]
    assert compared["overlap"] < 1 and "white noise" in compared["version"][0]["payload"]["name"].lower(), compared
    suite.expect("POST", "/api/collections/gap/switch")
    assert "white noise" in first().lower()


def test_a_model_that_cannot_be_served_is_refused_before_anything_is_made(shelf):
    table = shelf("recipes")
    for embedding, field in (({"provider": "gemini"}, "embedding.provider"), ({"provider": "hashing", "model": "x", "dimensions": 4}, "embedding"),
                             ({"model": "other"}, "embedding.dimensions"), ({"template": "{{colour}}"}, "embedding.template"),
                             ({"template": "{{name"}, "embedding.template")):
        answer = table.suite.call("POST", table.path("rebuild"), {"embedding": embedding})
        assert answer.status == 400 and answer.json["errors"][0]["field"] == field, answer
    assert len(table.suite.expect("GET", table.path())["versions"]) == 1


def test_a_rebuild_is_given_up_and_what_it_made_is_removed(shelf, stub):
    table = shelf("atlases")
    stub.delay = 0.3
    table.rebuild()
    job = table.jobs(2)[0]
    table.suite.expect("DELETE", table.path("rebuild"))
    stub.delay = 0.0
    assert table.suite.job(job["id"])["status"] == "cancelled"
    assert table.suite.call("POST", table.path("switch")).status == 409
    assert table.suite.call("POST", f"/api/sync/jobs/{job['id']}/resume").status == 409
    # The grace for searches that began before is over.
    sql = lambda text: table.suite.postgres.psql(text, database="suite", user="suite")
    sql("UPDATE vector_collection_versions SET changed_at = now() - interval '5 minutes' WHERE physical_name = 'atlases@2'")
    wait_until("removed", lambda: [version["number"] for version in table.suite.expect("GET", table.path())["versions"]] == [1])
    gone = request("GET", table.suite["indexer"].url + "/collections/atlases@2", headers={"api-key": table.suite.internal_token})
    assert gone.status == 404, gone
    assert sql("SELECT count(*) FROM record_states WHERE collection_id = 'atlases@2'") == [["0"]]
    # A number is not used again; the next rebuild gives the version up that a rollback would go to; so does the retention.
    assert table.rebuild()["version"]["number"] == 3
    table.wait_until_ready()
    table.suite.expect("POST", table.path("switch"))
    table.rebuild(embedding={"provider": "hashing"})
    assert table.states() == {1: "removing", 3: "active", 4: "building"}
    table.wait_until_ready()
    table.suite.expect("POST", table.path("switch"))
    sql("UPDATE vector_collection_versions SET changed_at = now() - interval '200 hours' WHERE physical_name = 'atlases@3'")
    wait_until("expired", lambda: table.states().get(3) == "removing")
    assert table.suite.call("POST", table.path("rollback")).status == 409
    assert table.hits() and table.active() == 4


def test_a_collection_of_the_first_release_is_rebuilt_too(stub_suite, stub, datasource):
    """Its version 1 has the bare name in the store, where the alias would stand."""
    sql = lambda *texts: stub_suite.postgres.psql(*texts, database="suite", user="suite")
    sql("INSERT INTO vector_collections (id, name) VALUES (gen_random_uuid(), 'diaries')",
        "INSERT INTO vector_collection_versions (physical_name, collection_id, number, vector_size, space, state) SELECT 'diaries', id, 1, "
        f"{stub.dimensions}, 'openai|stub|{stub.dimensions}|none|normalized', 'active' FROM vector_collections WHERE name = 'diaries'")
    table = Shelf(stub_suite, stub, datasource, "diaries")
    ledger.store(stub_suite, "PUT", "/collections/diaries/index", {"field_name": "name", "field_schema": "keyword"})
    before = table.hits()
    table.rebuild()
    table.wait_until_ready()
    table.suite.expect("POST", table.path("switch"))
    assert table.hits() != before and table.active() == 2 and table.alias() is None
    schema = ledger.store(stub_suite, "GET", "/collections/diaries@2")["payload_schema"]
    assert schema["name"]["data_type"] == "keyword", schema
    table.suite.expect("POST", table.path("rollback"))
    assert table.hits() == before
    table.suite.expect("POST", table.path("switch"))
    table.suite.expect("DELETE", table.path("rollback"))
    sql("UPDATE vector_collection_versions SET changed_at = now() - interval '5 minutes' WHERE physical_name = 'diaries'")
    wait_until("the alias stands where the old version was", lambda: table.alias() == "diaries@2")
    assert ledger.count(stub_suite, "diaries") == ROWS
    table.check(2, DIMENSIONS)


def test_a_collection_is_deleted_in_the_middle_of_a_rebuild(shelf, stub):
    table = shelf("maps")
    stub.delay = 0.3
    table.rebuild(switchWhenReady=True)
    job = table.jobs(2)[0]
    table.suite.expect("DELETE", table.path())
    stub.delay = 0.0
    ended = table.suite.wait_for_job(job["id"])
    assert ended["status"] == "cancelled" and "deleted" in ended["errorMessage"], ended
    assert table.suite.call("GET", table.path()).status == 404 and table.alias() is None
    names = [entry["name"] for entry in ledger.store(table.suite, "GET", "/collections")["collections"]]
    assert not [name for name in names if name.startswith("maps")], names
    assert table.suite.sync(table.source["id"])["successfulRecords"] == ROWS
    assert table.active() == 1 and table.alias() == "maps@1"


@pytest.mark.parametrize("failpoint, active", [
    ("orchestrator.before-switch", 1), ("orchestrator.after-switch", 2), ("orchestrator.after-alias", 2)])
def test_a_switch_that_is_cut_off_heals_by_itself(shelf, failpoint, active):
    name = failpoint.split(".")[1].replace("-", "_")
    table = shelf(name)
    table.rebuild()
    table.wait_until_ready()
    orchestrator = table.suite["orchestrator"]
    orchestrator.stop()
    orchestrator.start(FAILPOINT=f"{failpoint}:1:abort")
    with Searching(table, tolerates_restarts=True) as searching:
        table.suite.call("POST", table.path("switch"))
        wait_until("cut off", lambda: not orchestrator.is_running)
        orchestrator.start()
        assert table.active() == active
        wait_until("the alias follows", lambda: table.alias() == f"{name}@{active}")
        if active == 1:
            table.suite.expect("POST", table.path("switch"))
        hits = tuple(table.hits())
        wait_until("searched again", lambda: hits in searching.answers)
    assert not searching.failed, searching.failed[:3]
    assert len(set(searching.answers)) <= 2
    assert table.active() == 2 and table.alias() == f"{name}@2"
    orchestrator.stop()
    orchestrator.start(FAILPOINT=f"{failpoint}:1:abort")
    table.suite.call("POST", table.path("rollback"))
    wait_until("cut off", lambda: not orchestrator.is_running)
    orchestrator.start()
    back = table.active()
    assert back == (2 if active == 1 else 1)
    wait_until("the alias follows", lambda: table.alias() == f"{name}@{back}")


def test_a_rebuild_that_is_cut_off_goes_on(shelf, stub):
    table = shelf("letters")
    orchestrator = table.suite["orchestrator"]
    orchestrator.stop()
    orchestrator.start(FAILPOINT="orchestrator.after-rebuild:1:abort")
    stub.reset()
    table.suite.call("POST", table.path("rebuild"), {"embedding": {"model": MODEL, "dimensions": DIMENSIONS}, "switchWhenReady": True})
    wait_until("cut off", lambda: not orchestrator.is_running)
    orchestrator.start(FAILPOINT="orchestrator.after-create:1:abort")
    wait_until("cut off again", lambda: not orchestrator.is_running)
    orchestrator.start()
    wait_until("switched", lambda: table.active() == 2, 60)
    assert len(table.jobs(2)) == 1
    assert set(table.paid().values()) == {1}
    table.check(2, DIMENSIONS)
