"""Qdrant's own Python client, unmodified, against a running indexer."""
import random
import threading
import uuid

import pytest
from indexer_process import Indexer, client, folder, indexer  # noqa: F401 (fixtures)
from qdrant_client import models
from qdrant_client.http.exceptions import UnexpectedResponse
from suite import StartError, request


def vector(seed, size=16):
    draw = random.Random(seed)
    return [draw.gauss(0, 1) for _ in range(size)]


def fill(client, count=100, name="c", size=16):
    client.create_collection(name, vectors_config=models.VectorParams(size=size, distance=models.Distance.COSINE))
    client.upsert(name, wait=True, points=[
        models.PointStruct(id=number, vector=vector(number, size), payload={"n": number, "colour": ["red", "blue"][number % 2]})
        for number in range(count)])


def test_collections_are_created_described_listed_and_deleted(client):
    assert client.info().version.startswith("1.")
    assert not client.collection_exists("a")
    assert client.create_collection(
        "a", vectors_config={"text": models.VectorParams(size=4, distance=models.Distance.DOT),
                             "image": models.VectorParams(size=3, distance=models.Distance.EUCLID)},
        hnsw_config=models.HnswConfigDiff(m=32), on_disk_payload=False)
    assert client.create_collection("b", vectors_config=models.VectorParams(size=2, distance=models.Distance.MANHATTAN))
    assert client.collection_exists("a")
    assert sorted(collection.name for collection in client.get_collections().collections) == ["a", "b"]
    info = client.get_collection("a")
    assert info.status == models.CollectionStatus.GREEN and info.points_count == 0
    assert info.config.params.vectors["text"].size == 4
    assert info.config.params.vectors["image"].distance == models.Distance.EUCLID
    assert info.config.hnsw_config.m == 32 and info.config.params.on_disk_payload is False
    assert client.update_collection("a", hnsw_config=models.HnswConfigDiff(m=8))
    assert client.get_collection("a").config.hnsw_config.m == 8
    with pytest.raises(UnexpectedResponse) as refusal:
        client.create_collection("a", vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT))
    assert refusal.value.status_code == 409
    with pytest.raises(UnexpectedResponse) as refusal:
        client.get_collection("nowhere")
    assert refusal.value.status_code == 404 and b"Collection `nowhere` doesn't exist!" in refusal.value.content
    assert client.delete_collection("a") and not client.delete_collection("a")


def test_points_are_stored_read_changed_and_deleted(client):
    fill(client)
    assert client.count("c", exact=True).count == 100
    record = client.retrieve("c", ids=[7, 3, 999], with_vectors=True)
    assert [point.id for point in record] == [7, 3] and record[0].payload == {"n": 7, "colour": "blue"}
    assert sum(number * number for number in record[0].vector) == pytest.approx(1, abs=1e-5)
    name = str(uuid.uuid4())
    client.upsert("c", points=models.Batch(ids=[name, 100], vectors=[vector(1), vector(2)], payloads=[{"x": {"y": [1, 2]}}, {}]))
    assert client.retrieve("c", ids=[name])[0].payload == {"x": {"y": [1, 2]}}
    assert client.retrieve("c", ids=[100])[0].payload == {}
    client.set_payload("c", payload={"mark": True}, points=[1, 2])
    client.overwrite_payload("c", payload={"only": 1}, points=[3])
    client.delete_payload("c", keys=["n"], points=[2])
    client.clear_payload("c", points_selector=[4])
    assert [point.payload for point in client.retrieve("c", ids=[1, 2, 3, 4])] == [
        {"n": 1, "colour": "blue", "mark": True}, {"colour": "red", "mark": True}, {"only": 1}, {}]
    client.delete("c", points_selector=[5, 6])
    client.delete("c", points_selector=models.FilterSelector(
        filter=models.Filter(must=[models.FieldCondition(key="n", range=models.Range(gte=50))])))
    assert client.count("c").count == 50
    client.upload_points("c", [models.PointStruct(id=number, vector=vector(number)) for number in range(1000, 1300)], wait=True)
    assert client.count("c").count == 350


def test_searches_find_what_is_near_and_matches(client):
    fill(client, 500)
    hits = client.query_points("c", query=vector(17), limit=3, with_payload=True, with_vectors=True).points
    assert hits[0].id == 17 and hits[0].score == pytest.approx(1, abs=1e-5) and hits[0].payload["n"] == 17
    assert len(hits[0].vector) == 16
    assert client.query_points("c", query=17, limit=3).points[0].id == hits[1].id
    red = models.Filter(must=[models.FieldCondition(key="colour", match=models.MatchValue(value="red"))])
    hits = client.query_points("c", query=vector(17), limit=500, query_filter=red).points
    assert len(hits) == 250 and all(hit.id % 2 == 0 for hit in hits)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    exact = client.query_points("c", query=vector(17), limit=500, search_params=models.SearchParams(exact=True)).points
    fast = client.query_points("c", query=vector(17), limit=500).points
    assert [hit.id for hit in exact] == [hit.id for hit in fast]
    assert [hit.id for hit in client.query_points("c", query=vector(17), limit=5, offset=3).points] == [hit.id for hit in fast[3:8]]
    near = client.query_points("c", query=vector(17), limit=500, score_threshold=0.3).points
    assert len(near) == sum(hit.score >= 0.3 for hit in fast)
    batch = client.query_batch_points("c", requests=[models.QueryRequest(query=vector(n), limit=1) for n in (3, 4)])
    assert [answer.points[0].id for answer in batch] == [3, 4]
    only = client.query_points("c", query=vector(1), limit=1, with_payload=models.PayloadSelectorInclude(include=["n"])).points
    assert only[0].payload == {"n": 1}


def test_scrolls_over_everything_once(client):
    fill(client, 25)
    seen, offset = [], None
    while True:
        page, offset = client.scroll("c", limit=10, offset=offset)
        seen += [point.id for point in page]
        if offset is None:
            break
    assert seen == list(range(25))
    page, offset = client.scroll("c", limit=10, with_payload=False, scroll_filter=models.Filter(must=[models.HasIdCondition(has_id=[3, 5])]))
    assert [point.id for point in page] == [3, 5] and offset is None and page[0].payload is None


def test_named_vectors_aliases_and_indexes(client):
    client.create_collection("p@1", vectors_config={"text": models.VectorParams(size=2, distance=models.Distance.DOT)})
    client.upsert("p@1", points=[models.PointStruct(id=1, vector={"text": [1, 2]}, payload={"k": "v"})])
    client.update_collection_aliases([models.CreateAliasOperation(
        create_alias=models.CreateAlias(collection_name="p@1", alias_name="p"))])
    assert client.query_points("p", query=[1, 1], using="text").points[0].score == 3
    assert [alias.alias_name for alias in client.get_aliases().aliases] == ["p"]
    assert [alias.alias_name for alias in client.get_collection_aliases("p@1").aliases] == ["p"]
    assert client.create_payload_index("p", "k", models.PayloadSchemaType.KEYWORD).status == models.UpdateStatus.COMPLETED
    schema = client.get_collection("p").payload_schema["k"]
    assert schema.data_type == models.PayloadSchemaType.KEYWORD and schema.points == 1
    client.delete_payload_index("p", "k")
    assert client.get_collection("p").payload_schema == {}
    assert client.retrieve("p", [1], with_vectors=["text"])[0].vector == {"text": [1.0, 2.0]}


@pytest.mark.parametrize("call, status, text", [
    (lambda c: c.upsert("c", [models.PointStruct(id=1, vector=[1.0] * 16), models.PointStruct(id=2, vector=[1.0])]), 400,
     "Wrong input: Vector dimension error: expected dim: 16, got 1 (point 1, id 2)"),
    (lambda c: c.query_points("c", query=[1.0, 2.0]), 400, "Vector dimension error: expected dim: 16, got 2"),
    (lambda c: c.query_points("c", query=vector(1), using="text"), 400, "Not existing vector name error: text"),
    (lambda c: c.query_points("c", query=4711), 404, "No point with id 4711 found"),
    (lambda c: c.upsert("nowhere", [models.PointStruct(id=1, vector=[1.0])]), 404, "Collection `nowhere` doesn't exist!"),
    (lambda c: c.create_collection("z", vectors_config=models.VectorParams.model_construct(size=0, distance="Dot")), 422,
     "Validation error in JSON body: [vectors.size: value 0 invalid"),
    (lambda c: c.query_points("c", query=[[1.0] * 16, [2.0] * 16]), 400, "not supported by the embedded store"),
    (lambda c: c.count("c", count_filter=models.Filter(must=[models.FieldCondition(
        key="g", geo_radius=models.GeoRadius(center=models.GeoPoint(lon=1, lat=91), radius=1))])), 400, "filter.must[0].geo_radius.center"),
    (lambda c: c.count("c", count_filter=models.Filter(must=[models.FieldCondition(key="g")])), 422,
     "Validation error in JSON body: [filter.must[0]: At least one field condition must be specified]"),
])
def test_refusals_have_qdrants_status_and_say_where(client, call, status, text):
    fill(client, 3)
    with pytest.raises(UnexpectedResponse) as refusal:
        call(client)
    assert refusal.value.status_code == status and text in refusal.value.content.decode()
    assert client.count("c").count == 3


def test_a_key_is_asked_for(indexer):
    for path, status in [("/collections", 401), ("/healthz", 200), ("/livez", 200), ("/", 200)]:
        assert request("GET", indexer.url + path).status == status


@pytest.mark.parametrize("wait", [True, False])
def test_nothing_answered_is_lost_by_kill_9(folder, wait):
    """Again and again: a writer, a kill at a random moment, a restart. Checkpoints and compactions run meanwhile."""
    draw = random.Random(11)
    indexer = Indexer(folder, INDEXER_CHECKPOINT_BYTES="200000")
    client = indexer.client(check_compatibility=False)
    client.create_collection("c", vectors_config=models.VectorParams(size=16, distance=models.Distance.DOT))
    version, torn = {}, {}
    for _ in range(8):
        kill = threading.Timer(draw.uniform(0.05, 0.8), indexer.kill)
        kill.start()
        round_number = 0
        while True:
            round_number += 1
            ids = [draw.randrange(2000) for _ in range(50)]
            stamp = draw.random()
            torn = {number: stamp for number in ids}
            try:
                client.upsert("c", wait=wait, points=[
                    models.PointStruct(id=number, vector=vector(number), payload={"stamp": stamp}) for number in torn])
            except Exception:
                break
            version.update(torn)
            torn = {}
        kill.join()
        indexer.start()
        client = indexer.client(check_compatibility=False)
        found = {point.id: point.payload["stamp"] for point in client.scroll("c", limit=10000)[0]}
        applied = {number for number in torn if found.get(number) == torn[number]}
        assert applied in (set(), set(torn)), "the request in flight is there whole or not at all"
        if applied:
            version.update(torn)
        assert found == version
        assert client.count("c").count == len(version)
    assert indexer.stop() == 0


def test_sigterm_ends_with_0_and_a_second_indexer_is_kept_out(indexer, folder):
    with pytest.raises(StartError, match="in use by another indexer"):
        Indexer(folder)
    assert indexer.stop() == 0
