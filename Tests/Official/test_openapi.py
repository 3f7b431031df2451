"""Qdrant's REST surface, request by request; each and its answer are validated against Qdrant's OpenAPI document."""
import datetime

import pytest
from indexer_process import running_indexer
from wire import Wire

COLLECTION = "/collections/{collection_name}"
CITIES = {1: "Berlin", 2: ["Berlin", "London"], 3: ["Berlin", "Moscow"], 4: ["London", "Moscow"]}
VECTORS = {1: [0.05, 0.61, 0.76, 0.74], 2: [0.19, 0.81, 0.75, 0.11], 3: [0.36, 0.55, 0.47, 0.94], 4: [0.18, 0.01, 0.85, 0.8],
           5: [0.24, 0.18, 0.22, 0.44], 6: [0.35, 0.08, 0.11, 0.44]}


@pytest.fixture(scope="module")
def server():
    with running_indexer(INDEXER_BODY_BYTES="300000") as process:
        yield process


@pytest.fixture
def wire(server):
    wire = Wire(server.url)
    yield wire
    wire.call("DELETE", COLLECTION)


@pytest.fixture
def cities(wire):
    """One vector without a name, one sparse vector, payloads of several kinds."""
    wire.create(vectors={"size": 4, "distance": "Dot"}, sparse_vectors={"words": {}}, wal_config={"wal_capacity_mb": None})
    wire.upsert([{"id": id, "vector": vector, **({"payload": {"city": CITIES[id], "price": id * 1.5}} if id in CITIES else {})}
                 for id, vector in VECTORS.items()]
                + [{"id": 9, "vector": {"words": {"indices": [66, 12], "values": [0.5, 0.25]}}}])
    return wire


# Collections

def test_a_collection_tells_all_its_settings(wire):
    wire.create(vectors={
        "image": {"size": 4, "distance": "Dot", "hnsw_config": {"m": 20}, "on_disk": True, "not_known": 1},
        "audio": {"size": 4, "distance": "Manhattan", "hnsw_config": {"ef_construct": 100},
                  "quantization_config": {"scalar": {"type": "int8", "quantile": 0.6}}},
        "text": {"size": 8, "distance": "Cosine", "memory": "cached", "datatype": "float32"}},
        sparse_vectors={"words": {"modifier": "idf", "index": {"on_disk": True}}}, hnsw_config={"m": 10, "ef_construct": 80},
        optimizers_config={"indexing_threshold": 0, "max_optimization_threads": "auto"}, on_disk_payload=False,
        quantization_config={"binary": {"always_ram": True}}, metadata={"by": "us"}, shard_number=1, replication_factor=1,
        strict_mode_config={"enabled": False, "max_query_limit": 100})
    info = wire.info()
    assert (info["status"], info["optimizer_status"], info["points_count"], info["indexed_vectors_count"]) == ("green", "ok", 0, 0)
    config = info["config"]
    assert config["params"]["vectors"] == {
        "image": {"size": 4, "distance": "Dot", "hnsw_config": {"m": 20}, "on_disk": True},
        "audio": {"size": 4, "distance": "Manhattan", "hnsw_config": {"ef_construct": 100},
                  "quantization_config": {"scalar": {"type": "int8", "quantile": 0.6}}},
        "text": {"size": 8, "distance": "Cosine", "memory": "cached", "datatype": "float32"}}
    assert config["params"]["sparse_vectors"] == {"words": {"modifier": "idf", "index": {"on_disk": True}}}
    assert config["params"]["on_disk_payload"] is False and config["metadata"] == {"by": "us"}
    assert (config["hnsw_config"]["m"], config["hnsw_config"]["ef_construct"], config["hnsw_config"]["full_scan_threshold"]) == (10, 80, 10000)
    assert config["quantization_config"] == {"binary": {"always_ram": True}}
    assert config["strict_mode_config"] == {"enabled": False, "max_query_limit": 100}


def test_settings_are_changed_and_echoed(wire):
    wire.create(vectors={"size": 4, "distance": "Dot"}, sparse_vectors={"words": {"index": {"on_disk": False}}})
    assert wire.info()["config"]["quantization_config"] is None
    change = lambda **body: wire.call("PATCH", COLLECTION, body)
    scalar = {"scalar": {"type": "int8", "quantile": 0.8}}
    assert change(vectors={"": {"hnsw_config": {"m": 32}, "quantization_config": scalar, "on_disk": True}}, hnsw_config={"ef_construct": 123},
                  quantization_config=scalar, params={"on_disk_payload": False}, sparse_vectors={"words": {"index": {"on_disk": True}}},
                  optimizers_config={"default_segment_number": 6}, metadata={"a": 1}).result is True
    assert change(vectors={"": {"hnsw_config": {"ef_construct": 9}}}, metadata={"b": 2}, hnsw_config={"m": 5}).ok
    config = wire.info()["config"]
    assert config["params"]["vectors"] == {"size": 4, "distance": "Dot", "hnsw_config": {"m": 32, "ef_construct": 9},
                                           "quantization_config": scalar, "on_disk": True}
    assert config["params"]["sparse_vectors"]["words"]["index"] == {"on_disk": True} and config["params"]["on_disk_payload"] is False
    assert (config["hnsw_config"]["m"], config["hnsw_config"]["ef_construct"]) == (5, 123)
    assert config["optimizer_config"]["default_segment_number"] == 6 and config["metadata"] == {"a": 1, "b": 2}
    assert change(vectors={"": {"quantization_config": "Disabled"}}, quantization_config="Disabled").ok
    config = wire.info()["config"]
    assert config["quantization_config"] is None and "quantization_config" not in config["params"]["vectors"]
    refused = change(vectors={"nowhere": {"on_disk": True}})
    assert (refused.status, refused.error) == (400, "Wrong input: Not existing vector name error: nowhere")
    refused = wire.call("PATCH", COLLECTION, {"vectors": {"": {"memory": "pinned"}}})
    assert refused.status == 422 and "pinned" in refused.error
    assert wire.info()["config"] == config


@pytest.mark.parametrize("body, status, text", [
    ({"vectors": {"size": 65537, "distance": "Dot"}}, 422,
     "Validation error in JSON body: [vectors.size: value 65537 invalid, must be from 1 to 65536]"),
    ({"vectors": {"size": 4, "distance": "Dot"}, "hnsw_config": {"ef_construct": 0}}, 422, "[hnsw_config.ef_construct: value 0 invalid, must be 4 or larger]"),
    ({"vectors": {"t": {"size": 0, "distance": "Dot"}}, "shard_number": 0}, 422, "shard_number: value 0 invalid"),
    ({"vectors": {"size": 4, "distance": "Nearby"}}, 400, "Format error in JSON body: vectors.distance: unknown variant `Nearby`"),
    ({"vectors": {"size": "4", "distance": "Dot"}}, 400, "Format error in JSON body: vectors.size"),
    ({"vectors": {"size": 4}}, 400, "Format error in JSON body: vectors: missing field `distance`"),
    ({"vectors": [4]}, 400, "Format error in JSON body: vectors"),
    ({"vectors": {"size": 4, "distance": "Dot"}, "quantization_config": {"scalar": {"type": "int8", "quantile": 2}}}, 422, "quantization_config.scalar.quantile"),
    ({"vectors": {"size": 4, "distance": "Dot"}, "quantization_config": {"scalar": {}}}, 400, "quantization_config.scalar: missing field `type`"),
    ({"vectors": {"a": None}}, 400, "vectors.a"),
    ({"vectors": {"a": {"size": 4, "distance": "Dot"}}, "sparse_vectors": {"a": {}}}, 400,
     "Dense and sparse vector names must be unique - duplicate found with 'a'"),
    ({"sparse_vectors": {"": {}}}, 400, "Sparse vector name cannot be empty"),
    ({"sparse_vectors": {"a": None}}, 400, "sparse_vectors.a"),
    ({"vectors": {"size": 4, "distance": "Dot", "memory": "pinned"}}, 422, "pinned"),
    ({"vectors": {"size": 4, "distance": "Dot", "multivector_config": {"comparator": "max_sim"}}}, 400, "multivectors are not supported"),
    ({"vectors": {"size": 4, "distance": "Dot"}, "sharding_method": "custom"}, 400, "not supported"),
    ({"vectors": {"size": 4, "distance": "Dot"}, "init_from": {"collection": "x"}}, 400, "not supported"),
])
def test_wrong_settings_make_no_collection(wire, body, status, text):
    refused = wire.call("PUT", COLLECTION, body, malformed=True)
    assert refused.status == status and text in refused.error, refused.text
    assert wire.call("GET", COLLECTION + "/exists").result == {"exists": False}


def test_names_of_collections_and_parameters(wire):
    body = {"vectors": {"size": 4, "distance": "Dot"}}
    refused = wire.call("GET", COLLECTION + "/points/{id}", collection_name="x" * 256, id=1)
    assert refused.status == 422 and refused.error.startswith("Validation error in path parameters: [name: ")
    refused = wire.call("PUT", COLLECTION, body, collection_name="a%3Cb")
    assert refused.status == 422 and 'cannot contain "<"' in refused.error
    refused = wire.call("PUT", COLLECTION, body, "?timeout=0")
    assert (refused.status, refused.error) == (422, "Validation error in query parameters: [timeout: value 0 invalid, must be 1 or larger]")
    assert wire.call("PUT", COLLECTION, body, "?timeout=5").ok
    refused = wire.call("PUT", COLLECTION, body)
    assert (refused.status, refused.error) == (409, "Wrong input: Collection `c` already exists!")
    assert wire.call("DELETE", COLLECTION).result is True and wire.call("DELETE", COLLECTION).result is False
    refused = wire.call("GET", COLLECTION)
    assert (refused.status, refused.error) == (404, "Not found: Collection `c` doesn't exist!")
    assert wire.call("GET", "/collections").result == {"collections": []}


def test_aliases(cities):
    act = lambda *actions: cities.call("POST", "/collections/aliases", {"actions": list(actions)})
    create = lambda alias, collection="c": {"create_alias": {"alias_name": alias, "collection_name": collection}}
    assert act(create("one"), create("two")).result is True
    assert cities.call("GET", COLLECTION + "/aliases").result["aliases"] == [
        {"alias_name": "one", "collection_name": "c"}, {"alias_name": "two", "collection_name": "c"}]
    assert cities.call("GET", "/aliases").result == cities.call("GET", COLLECTION + "/aliases").result
    assert cities.call("POST", COLLECTION + "/points/query", {"query": VECTORS[1], "limit": 3}, collection_name="one").ok
    assert act({"rename_alias": {"old_alias_name": "two", "new_alias_name": "three"}}, {"delete_alias": {"alias_name": "one"}}).result is True
    assert [alias["alias_name"] for alias in cities.call("GET", "/aliases").result["aliases"]] == ["three"]
    assert act(create("c")).status == 409
    assert act(create("x", "nowhere")).status == 404
    refused = act({"delete_alias": {"alias_name": "three"}}, {"rename_alias": {"old_alias_name": "gone", "new_alias_name": "y"}})
    assert (refused.status, refused.error) == (404, "Not found: Alias gone does not exists!")
    assert len(cities.call("GET", "/aliases").result["aliases"]) == 1, "all or nothing"
    assert cities.call("PUT", COLLECTION, {"vectors": {"size": 4, "distance": "Dot"}}, collection_name="three").status == 400
    assert cities.call("DELETE", COLLECTION).result is True
    assert cities.call("GET", "/aliases").result["aliases"] == []


def test_payload_indexes_of_every_kind(cities):
    index = lambda field, schema, **more: cities.call("PUT", COLLECTION + "/index", {"field_name": field, "field_schema": schema}, "?wait=true", **more)
    schemas = {"city": "keyword", "price": "float", "n": "integer", "b": "bool", "t": "datetime", "u": "uuid", "g": "geo", "x": "text",
               "k.o": {"type": "keyword", "is_tenant": True, "on_disk": False}, "i.o": {"type": "integer", "lookup": True, "range": False},
               "123": {"type": "keyword", "memory": "cold"},
               "text": {"type": "text", "tokenizer": "word", "min_token_len": 2, "max_token_len": 10, "lowercase": True, "phrase_matching": True,
                        "stopwords": {"languages": ["english"], "custom": ["x"]}, "stemmer": {"type": "snowball", "language": "english"}},
               "f.o": {"type": "float", "is_principal": True}, "u.o": {"type": "uuid", "is_tenant": True}, "b.o": {"type": "bool", "on_disk": True}}
    for field, schema in schemas.items():
        assert index(field, schema).result["status"] == "completed"
    shown = cities.info()["payload_schema"]
    assert set(shown) == set(schemas)
    for field, schema in schemas.items():
        if isinstance(schema, dict):
            assert shown[field]["params"] == schema and shown[field]["data_type"] == schema["type"]
        else:
            assert shown[field]["data_type"] == schema and "params" not in shown[field]
    assert (shown["city"]["points"], shown["n"]["points"]) == (4, 0)
    for field in schemas:
        assert cities.call("DELETE", COLLECTION + "/index/{field_name}", query="?wait=true", field_name=field).ok
    assert cities.info()["payload_schema"] == {}
    assert index("x", "no-type", malformed=True).status == 400
    assert index("x", {"type": "integer", "lookup": False, "range": False}).status == 422
    assert index("x[", "keyword").status == 400
    assert index("x", {"type": "text", "tokenizer": "teeth"}, malformed=True).status == 400


# Points

def test_points_come_back_as_they_went_in(cities):
    assert cities.get(2).result == {"id": 2, "vector": VECTORS[2], "payload": {"city": ["Berlin", "London"], "price": 3}}
    assert cities.get(9).result == {"id": 9, "vector": {"words": {"indices": [12, 66], "values": [0.25, 0.5]}}, "payload": {}}
    assert cities.retrieve([6, 5, 77]) == [{"id": 6, "payload": {}}, {"id": 5, "payload": {}}]
    assert cities.retrieve([1], with_vector=["words"], with_payload=["price"]) == [{"id": 1, "vector": {}, "payload": {"price": 1.5}}]
    assert cities.retrieve([1], with_payload={"exclude": ["price"]})[0]["payload"] == {"city": "Berlin"}
    refused = cities.get(4711)
    assert refused.status == 404 and refused.error.startswith("Not found: ")
    assert cities.get("nonsense").status == 400
    info = cities.info()
    assert (info["points_count"], info["indexed_vectors_count"]) == (7, 7)


def test_ids_are_numbers_or_uuids_of_any_writing(cities):
    uuid = "b524a3c4-c568-4383-8019-c9ca08243d6a"
    largest = 2**64 - 1
    for written in [uuid, uuid.upper(), uuid.replace("-", ""), f"urn:uuid:{uuid}", f"{{{uuid}}}"]:
        cities.upsert([{"id": written, "vector": {}}])
    cities.upsert([{"id": largest, "vector": {}}])
    assert cities.count() == 9
    assert cities.get(uuid.replace("-", "")).result["id"] == uuid and cities.get(largest).result["id"] == largest
    for bad in [-1, 1.5, 2**64, "x", None, [1], {"id": 1}, True]:
        refused = cities.points("PUT", "", {"points": [{"id": 1, "vector": {}}, {"id": bad, "vector": {}}]}, malformed=True)
        assert refused.status == 400 and refused.error.startswith("Format error in JSON body: "), (bad, refused.text)
        assert "points[1].id" in refused.error or bad == 2**64
    assert cities.count() == 9


def test_batches_of_columns(cities):
    body = {"batch": {"ids": [20, 21], "vectors": [VECTORS[1], VECTORS[2]], "payloads": [{"a": 1}, None]}}
    assert cities.points("PUT", "", body).ok
    body = {"batch": {"ids": [22, 23], "vectors": {"": [VECTORS[1], VECTORS[2]], "words": [{"indices": [1], "values": [2]}] * 2}}}
    assert cities.points("PUT", "", body).ok
    assert cities.get(20).result["payload"] == {"a": 1} and cities.get(21).result["payload"] == {}
    assert cities.get(22).result["vector"] == {"": VECTORS[1], "words": {"indices": [1], "values": [2]}}
    for batch, what in [({"ids": [1], "vectors": []}, "ids and vectors"), ({"ids": [1], "vectors": {"": []}}, "ids and vectors"),
                        ({"ids": [1], "vectors": [VECTORS[1]], "payloads": []}, "ids and payloads")]:
        refused = cities.points("PUT", "", {"batch": batch})
        assert refused.status == 422 and f"number of {what} must be equal (1 != 0)" in refused.error


def test_conditional_upserts(cities):
    version = lambda limit: {"must": {"key": "version", "range": {"lt": limit}}}
    point = lambda version: {"id": 6, "vector": [version] * 4, "payload": {"version": version}}
    cities.upsert([point(5)])
    cities.upsert([point(4)], update_filter=version(4))
    assert cities.get(6).result["payload"] == {"version": 5}
    cities.upsert([point(6), {"id": 60, "vector": VECTORS[1]}], update_filter=version(6))
    assert cities.get(6).result["payload"] == {"version": 6} and cities.get(60).ok
    assert cities.points("PUT", "/vectors", {"points": [{"id": 6, "vector": [9] * 4}], "update_filter": version(4)}).ok
    assert cities.get(6).result["vector"] == [6] * 4
    cities.upsert([point(7), {"id": 999, "vector": VECTORS[1]}], update_mode="update_only")
    assert cities.get(6).result["payload"] == {"version": 7} and cities.get(999).status == 404
    cities.upsert([point(8), {"id": 999, "vector": VECTORS[1]}], update_mode="insert_only")
    assert cities.get(6).result["payload"] == {"version": 7} and cities.get(999).ok
    assert cities.points("PUT", "", {"points": [], "update_mode": "sometimes"}, malformed=True).status == 400


def test_payloads_are_changed_by_ids_and_filters(cities):
    berlin = {"must": [{"key": "city", "match": {"value": "Berlin"}}]}
    change = lambda method, kind, **body: cities.points(method, "/payload" + kind, body).result["status"]
    payload = lambda id: cities.get(id).result["payload"]
    assert change("POST", "", payload={"a": {"x": 1, "list": [{"y": {"z": 1}}, {"y": {"z": 2}}]}}, points=[6]) == "completed"
    change("POST", "", payload={"w": 5}, points=[6], key="a")
    change("POST", "", payload={"z": 3}, points=[6], key="a.list[0].y")
    change("POST", "", payload={"q": 4}, points=[6], key="a.list[].y")
    change("POST", "", payload={"n": 1}, points=[6], key="a.new.deep")
    change("POST", "", payload={"top": 1}, points=[6], key=None)
    assert payload(6) == {"a": {"x": 1, "w": 5, "list": [{"y": {"z": 3, "q": 4}}, {"y": {"z": 2, "q": 4}}], "new": {"deep": {"n": 1}}}, "top": 1}
    change("PUT", "", payload={"only": 1}, points=[6])
    assert payload(6) == {"only": 1}
    change("POST", "", payload={"seen": True}, filter=berlin)
    assert [point["id"] for point in cities.scroll(filter={"must": [{"key": "seen", "match": {"value": True}}]})] == [1, 2, 3]
    change("POST", "/delete", keys=["seen", "price"], filter=berlin)
    assert payload(1) == {"city": "Berlin"}
    change("POST", "/clear", points=[1, 2])
    change("POST", "/clear", filter={"must": [{"has_id": [3]}]})
    assert [payload(id) for id in (1, 2, 3)] == [{}] * 3
    assert cities.points("POST", "/payload", {"points": [1]}, malformed=True).status == 400
    assert cities.points("POST", "/payload", {"payload": [], "points": [1]}, malformed=True).status == 400
    assert cities.points("POST", "/payload/delete", {"keys": ["a", "loc[-1]"], "points": [1]}).status == 400


def test_vectors_are_replaced_and_taken_away(wire):
    wire.create(vectors={"image": {"size": 4, "distance": "Dot"}, "text": {"size": 2, "distance": "Cosine"}}, sparse_vectors={"words": {}})
    wire.upsert([{"id": id, "vector": {"image": vector, "text": [3, 4]}} for id, vector in VECTORS.items()] + [{"id": 7, "vector": {}}])
    assert wire.get(1).result["vector"] == {"image": VECTORS[1], "text": [0.6, 0.8]} and wire.get(7).result["vector"] == {}
    update = lambda points, **more: wire.points("PUT", "/vectors", {"points": points}, **more)
    assert update([{"id": 7, "vector": {"image": [1, 2, 3, 4]}}, {"id": 7, "vector": {"words": {"indices": [5, 3], "values": [1, 2]}}},
                   {"id": 1, "vector": {"image": [9, 9, 9, 9]}}, {"id": 1, "vector": {"image": [8, 8, 8, 8]}}]).ok
    assert wire.get(7).result["vector"] == {"image": [1, 2, 3, 4], "words": {"indices": [3, 5], "values": [2, 1]}}
    assert wire.get(1).result["vector"] == {"image": [8] * 4, "text": [0.6, 0.8]}
    refused = update([{"id": 1, "vector": {"image": [7] * 4}}, {"id": 4711, "vector": {"image": [7] * 4}}])
    assert (refused.status, refused.error) == (404, "Not found: No point with id 4711 found")
    assert wire.get(1).result["vector"]["image"] == [8] * 4
    refused = update([{"id": 1, "vector": {}}])
    assert (refused.status, refused.error) == (422, "Validation error in JSON body: [points[0].vector: must specify vectors to update for point]")
    drop = lambda names, **which: wire.points("POST", "/vectors/delete", {"vector": names, **which})
    for _ in range(2):
        assert drop(["image"], points=[1, 2]).ok and drop(["text", "words"], points=[2, 7]).ok
    assert wire.get(1).result["vector"] == {"text": [0.6, 0.8]} and wire.get(2).result["vector"] == {}
    assert wire.get(7).result["vector"] == {"image": [1, 2, 3, 4]}
    refused = drop(["a"], points=[1])
    assert refused.status == 400 and "Wrong input: Not existing vector name error: a" in refused.error
    assert drop(["image", "text"], filter={}).ok
    assert all(point["vector"] == {} for point in wire.scroll(with_vector=True)) and wire.count() == 7


def test_operations_in_one_request_are_all_or_none(cities):
    operate = lambda *operations, **more: cities.points("POST", "/batch", {"operations": list(operations)}, **more)
    upsert = lambda id, vector: {"upsert": {"points": [{"id": id, "vector": vector, "payload": {}}]}}
    answer = operate(
        upsert(7, [1, 2, 3, 4]), upsert(8, [1, 2, 3, 4]), {"delete": {"points": [8]}}, upsert(7, [2, 1, 3, 4]),
        upsert(9, {"words": {"indices": [123, 321], "values": [5.5, 5.5]}}), {"delete": {"filter": {"must": [{"has_id": [1]}]}}},
        {"overwrite_payload": {"payload": {"a": 1}, "points": [2]}}, {"set_payload": {"payload": {"b": 2, "c": 3}, "points": [2]}},
        {"delete_payload": {"keys": ["b"], "points": [2]}}, {"clear_payload": {"points": [3]}},
        {"update_vectors": {"points": [{"id": 7, "vector": [9, 2, 4, 2]}]}}, {"upsert": {"batch": {"ids": [30], "vectors": [[0] * 4]}}},
        {"delete_vectors": {"points": [30], "vector": [""]}})
    assert len(answer.result) == 13 and all(result["status"] == "completed" for result in answer.result)
    expected = {7: ([9, 2, 4, 2], {}), 9: ({"words": {"indices": [123, 321], "values": [5.5, 5.5]}}, {}), 2: (VECTORS[2], {"a": 1, "c": 3}),
                3: (VECTORS[3], {}), 30: ({}, {})}
    for id, (vector, payload) in expected.items():
        assert cities.get(id).result == {"id": id, "vector": vector, "payload": payload}
    assert cities.get(8).status == cities.get(1).status == 404
    before = cities.scroll(limit=100, with_vector=True)
    refused = operate(upsert(50, [1, 2, 3, 4]), upsert(51, [1, 2, 3]))
    assert refused.status == 400 and "Vector dimension error: expected dim: 4, got 3" in refused.error and "51" in refused.error
    refused = operate({"delete": {"points": [2]}}, {"set_payload": {"payload": {}}}, malformed=True)
    assert refused.status == 400 and "operations[1]" in refused.error
    refused = operate({"delete": {"points": [2]}}, {"upsert": {"points": [{"id": "x", "vector": {}}]}})
    assert refused.status == 400 and "operations[1].upsert.points[0].id" in refused.error
    assert operate({"explode": {}}, malformed=True).status == 400
    assert cities.scroll(limit=100, with_vector=True) == before
    assert operate().result == []


def test_points_are_deleted(cities):
    assert cities.points("POST", "/delete", {"filter": {"must": [{"has_id": [5]}]}}).ok
    assert cities.points("POST", "/delete", {"points": [1, 2, 4711]}).ok
    assert cities.info()["points_count"] == 4
    assert cities.points("POST", "/delete", {}, malformed=True).status == 400


# Reads

def test_pages(cities):
    first = cities.points("POST", "/scroll", {"limit": 3}).result
    assert [point["id"] for point in first["points"]] == [1, 2, 3] and first["next_page_offset"] == 4
    last = cities.points("POST", "/scroll", {"limit": 10, "offset": 4, "with_payload": False, "with_vectors": True}).result
    assert [point["id"] for point in last["points"]] == [4, 5, 6, 9] and last["next_page_offset"] is None
    assert last["points"][0] == {"id": 4, "vector": VECTORS[4]}
    refused = cities.points("POST", "/scroll", {"limit": 0}, malformed=True)
    assert (refused.status, refused.error) == (422, "Validation error in JSON body: [scroll_request.limit: value 0 invalid, must be 1 or larger]")
    assert cities.points("POST", "/scroll", {"order_by": "price", "offset": 3}).status == 400
    assert len(cities.scroll(limit=10**9)) == 7
    assert cities.count(filter={"must": {"key": "city", "match": {"value": "London"}}}, exact=True) == 2
    assert cities.count() == 7


def test_an_empty_collection_answers_everything(wire):
    wire.create(vectors={"size": 4, "distance": "Dot"}, sparse_vectors={"words": {"modifier": "idf"}})
    sparse = {"query": {"indices": [1], "values": [1]}, "using": "words"}
    for body in [{"query": VECTORS[1]}, sparse, {}, {"offset": 5}, {"query": {"order_by": "price"}}, {"query": {"sample": "random"}},
                 {"prefetch": [{"query": VECTORS[1]}, sparse], "query": {"fusion": "rrf"}}, {"prefetch": [{"query": VECTORS[1]}, sparse], "query": {"fusion": "dbsf"}},
                 {"prefetch": sparse, "query": {"order_by": {"key": "price", "start_from": 1}}}, {"query": {"nearest": VECTORS[1], "mmr": {}}},
                 {"query": {"recommend": {"positive": [VECTORS[1]], "strategy": "best_score"}}}, {"query": {"context": [{"positive": VECTORS[1], "negative": VECTORS[2]}]}}]:
        assert wire.query(**body) == wire.query(limit=10**9, **body) == []
        assert wire.call("POST", COLLECTION + "/points/query/groups", {"group_by": "a", **{name: body[name] for name in body if name != "offset"}}).status in (200, 400)
    assert wire.scroll() == wire.scroll(order_by="price") == wire.retrieve([1]) == [] and wire.count() == 0
    assert wire.call("POST", COLLECTION + "/facet", {"key": "a"}).result["hits"] == []
    assert wire.call("POST", COLLECTION + "/points/search/matrix/pairs", {}).result["pairs"] == []


def test_orders_of_a_payload_value(cities):
    cities.call("PUT", COLLECTION + "/index", {"field_name": "price", "field_schema": "float"}, "?wait=true")
    assert [point["id"] for point in cities.scroll(order_by={"key": "price", "direction": "desc"})] == [4, 3, 2, 1]
    page = cities.scroll(order_by={"key": "price", "start_from": 3}, limit=2)
    assert [point["id"] for point in page] == [2, 3] and page[0]["order_value"] == 3.0
    assert cities.ids(query={"order_by": "price"}, limit=2) == [1, 2]


def test_queries(cities):
    nearest = cities.query(query=VECTORS[1], limit=3, with_payload=True, with_vector=True)
    assert nearest[0].keys() == {"id", "version", "score", "payload", "vector"}
    assert cities.ids(query={"nearest": VECTORS[1]}, limit=3) == [point["id"] for point in nearest]
    assert cities.ids(query=VECTORS[1], limit=2, offset=1) == [point["id"] for point in nearest][1:]
    assert 1 not in cities.ids(query=1) and len(cities.ids(query=1)) == 5
    assert cities.ids(query=VECTORS[1], filter={"should": [{"key": "city", "match": {"value": "London"}}]}, limit=18446744073709551615) in ([2, 4], [4, 2])
    assert cities.ids(query={"indices": [66, 1], "values": [1, 1]}, using="words") == [9]
    assert cities.ids(query={"nearest": {"indices": [5], "values": [1]}}, using="words") == []
    assert cities.ids() == [1, 2, 3, 4, 5, 6, 9] and cities.ids(offset=5) == [6, 9]
    assert cities.ids(query=VECTORS[1], params={"exact": True, "hnsw_ef": 12}, score_threshold=1.2) == [
        point["id"] for point in cities.query(query=VECTORS[1]) if point["score"] >= 1.2]
    assert sorted(cities.ids(query={"sample": "random"}, limit=20)) == [1, 2, 3, 4, 5, 6, 9]
    assert cities.ids(prefetch={"limit": 1000}, query=VECTORS[1]) == cities.ids(query=VECTORS[1])
    answers = cities.points("POST", "/query/batch", {"searches": [{"query": VECTORS[3], "limit": 1}, {"limit": 2}]}).result
    assert [[point["id"] for point in answer["points"]] for answer in answers][1] == [1, 2]
    assert cities.points("POST", "/query/batch", {"searches": []}).result == []


def test_fusion(cities):
    lists = [cities.ids(query=VECTORS[1]), cities.ids(query=VECTORS[6])]
    prefetch = [{"query": VECTORS[1]}, {"query": VECTORS[6]}]
    for query, k, weights in [({"fusion": "rrf"}, 2, [1, 1]), ({"rrf": {}}, 2, [1, 1]), ({"rrf": {"k": 60}}, 60, [1, 1]),
                              ({"rrf": {"k": 5, "weights": [3, 1]}}, None, None)]:
        found = cities.query(prefetch=prefetch, query=query)
        if k:
            expected = {id: sum(weight / (k + ranked.index(id)) for ranked, weight in zip(lists, weights)) for id in lists[0]}
            assert {point["id"]: point["score"] for point in found} == pytest.approx(expected, rel=1e-5)
        assert [point["score"] for point in found] == sorted((point["score"] for point in found), reverse=True)
    assert len(cities.query(prefetch=prefetch, query={"fusion": "dbsf"}, limit=3)) == 3
    words = {"query": {"indices": [12], "values": [1]}, "using": "words"}
    assert 9 in cities.ids(prefetch=[prefetch[0], words], query={"fusion": "rrf"})
    assert cities.ids(prefetch=[{"prefetch": prefetch, "query": {"fusion": "rrf"}, "limit": 3}], query=VECTORS[4], limit=2)
    assert cities.ids(prefetch=prefetch, query={"fusion": "rrf"}, filter={"must": [{"has_id": [2]}]}) == [2]


def test_groups(cities):
    groups = cities.points("POST", "/query/groups", {"query": VECTORS[1], "group_by": "city", "group_size": 2, "limit": 2, "with_payload": True}).result["groups"]
    assert len(groups) == 2 and all(len(group["hits"]) <= 2 and group["id"] in str(group["hits"][0]["payload"]["city"]) for group in groups)
    wire = Wire(cities.url, "authors")
    wire.create(vectors={"size": 1, "distance": "Dot"})
    wire.upsert([{"id": 1, "vector": [1], "payload": {"name": "A"}}])
    try:
        cities.points("POST", "/payload", {"payload": {"by": 1}, "points": [1, 2]})
        for lookup in ["authors", {"collection": "authors", "with_payload": True, "with_vectors": True}]:
            group, = cities.points("POST", "/query/groups", {"query": VECTORS[1], "group_by": "by", "with_lookup": lookup}).result["groups"]
            assert group["id"] == 1 and group["lookup"]["payload"] == {"name": "A"} and ("vector" in group["lookup"]) == (lookup != "authors")
    finally:
        wire.call("DELETE", COLLECTION)
    refused = cities.points("POST", "/query/groups", {"query": VECTORS[1], "group_by": "by", "with_lookup": "nowhere"})
    assert (refused.status, refused.error) == (404, "Not found: Collection nowhere not found")
    groups = cities.send("POST", "/collections/c/points/search/groups", {"vector": VECTORS[1], "group_by": "city", "group_size": 1, "limit": 2}).result["groups"]
    assert len(groups) == 2


def test_facets(cities):
    cities.call("PUT", COLLECTION + "/index", {"field_name": "city", "field_schema": "keyword"}, "?wait=true")
    assert cities.call("POST", COLLECTION + "/facet", {"key": "city"}).result["hits"] == [
        {"value": "Berlin", "count": 3}, {"value": "London", "count": 2}, {"value": "Moscow", "count": 2}]
    assert cities.call("POST", COLLECTION + "/facet", {"key": "city", "limit": 1, "exact": True, "filter": {"must": [{"has_id": [4]}]}}).result["hits"] == [
        {"value": "London", "count": 1}]


def test_recommendations_by_average(cities):
    examples = {"positive": [1, 2], "negative": [3]}
    found = cities.query(query={"recommend": examples}, limit=10)
    average = [a + b - c for a, b, c in zip(VECTORS[1], VECTORS[2], VECTORS[3])]
    expected = cities.query(query=average, filter={"must_not": [{"has_id": [1, 2, 3]}]})
    assert [(point["id"], pytest.approx(point["score"], rel=1e-5)) for point in expected] == [(point["id"], point["score"]) for point in found]
    raw = {"positive": [VECTORS[1], VECTORS[2]], "negative": [VECTORS[3]], "strategy": "average_vector"}
    assert cities.ids(query={"recommend": raw}, filter={"must_not": [{"has_id": [1, 2, 3]}]}) == [point["id"] for point in found]
    assert cities.send("POST", "/collections/c/points/recommend", {**examples, "limit": 10}).result == found
    refused = cities.points("POST", "/query", {"query": {"recommend": {"positive": [1, 4711]}}})
    assert (refused.status, refused.error) == (404, "Not found: No point with id 4711 found")
    refused = cities.points("POST", "/query", {"query": {"recommend": examples}, "lookup_from": {"collection": "nowhere"}})
    assert (refused.status, refused.error) == (404, "Not found: Collection nowhere not found")
    refused = cities.points("POST", "/query", {"query": {"recommend": examples}, "lookup_from": {"collection": "c", "vector": "gone"}})
    assert (refused.status, refused.error) == (400, "Wrong input: Not existing vector name error: gone")
    assert cities.points("POST", "/query", {"query": {"recommend": {"positive": []}}}).status == 400


def test_queries_by_several_vectors(cities):
    recommend = lambda **input: cities.query(query={"recommend": input}, limit=10)
    best = recommend(positive=[1], strategy="best_score")
    assert [point["id"] for point in best] == cities.ids(query=1)
    assert all(point["score"] < 0 for point in recommend(negative=[1, 2], strategy="best_score"))
    rescored = cities.query(query={"recommend": {"positive": [1, 2], "negative": [3], "strategy": "best_score"}}, prefetch={"limit": 1000})
    assert rescored == recommend(positive=[1, 2], negative=[3], strategy="best_score")
    discovered = cities.query(query={"discover": {"target": 2, "context": [{"positive": 3, "negative": 4}]}})
    assert {point["id"] for point in discovered} == {1, 5, 6}
    assert cities.send("POST", "/collections/c/points/discover", {"target": 2, "context": [{"positive": 3, "negative": 4}], "limit": 10}).result == discovered
    assert len(cities.query(query={"context": {"positive": 2, "negative": 4}})) == 4
    diverse = cities.ids(query={"nearest": VECTORS[1], "mmr": {"diversity": 0.9}})
    assert sorted(diverse) == [1, 2, 3, 4, 5, 6] and diverse != cities.ids(query=VECTORS[1])
    refused = cities.points("POST", "/query", {"query": {"nearest": VECTORS[1], "mmr": {"diversity": 2}}}, malformed=True)
    assert refused.status == 422 and "diversity" in refused.error
    fused = cities.ids(prefetch={"query": {"context": {"positive": 1, "negative": 2}}}, query={"fusion": "rrf"})
    assert sorted(fused) == [3, 4, 5, 6]


def test_vectors_of_a_collection_come_and_go(cities):
    name = COLLECTION + "/vectors/{vector_name}"
    assert cities.call("PUT", name, {"sparse": {"modifier": "idf"}}, "?wait=true", vector_name="rare").result["status"] == "completed"
    assert cities.points("PUT", "/vectors", {"points": [{"id": 1, "vector": {"rare": {"indices": [7], "values": [1]}}}]}).ok
    assert cities.info()["config"]["params"]["sparse_vectors"]["rare"] == {"modifier": "idf"}
    assert cities.ids(query={"indices": [7], "values": [1]}, using="rare") == [1]
    assert cities.call("DELETE", name, query="?wait=true", vector_name="rare").ok
    assert cities.get(1).result["vector"] == VECTORS[1] and "rare" not in cities.info()["config"]["params"]["sparse_vectors"]
    assert cities.call("PUT", name, {"dense": {"size": 0, "distance": "Dot"}}, vector_name="x", malformed=True).status == 422
    assert cities.call("DELETE", name, vector_name="rare").status == 400


def test_a_sparse_vector_changes_its_modifier(wire):
    wire.create(sparse_vectors={"words": {"modifier": "idf"}})
    wire.upsert([{"id": id, "vector": {"words": {"indices": [1, 2] if id else [1, 3], "values": [1, 1.1]}}} for id in range(9)])
    query = {"query": {"indices": [2, 3], "values": [1.2, 1]}, "using": "words"}
    assert wire.ids(**query)[0] == 0
    assert wire.call("PATCH", COLLECTION, {"sparse_vectors": {"words": {"modifier": "none"}}}).ok
    assert wire.ids(**query)[0] != 0 and wire.info()["config"]["params"]["sparse_vectors"]["words"] == {"modifier": "none"}


def test_distance_matrices(cities):
    matrix = lambda kind, **body: cities.call("POST", COLLECTION + "/points/search/matrix/" + kind, body)
    pairs = matrix("pairs", sample=10, limit=2).result["pairs"]
    assert [pair["a"] for pair in pairs] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    for pair in pairs:
        nearest = {point["id"]: point["score"] for point in cities.query(query=pair["a"], limit=2)}
        assert nearest[pair["b"]] == pair["score"]
    offsets = matrix("offsets", sample=10, limit=2).result
    assert offsets["ids"] == [1, 2, 3, 4, 5, 6] and offsets["scores"] == [pair["score"] for pair in pairs]
    assert [(offsets["ids"][row], offsets["ids"][column]) for row, column in zip(offsets["offsets_row"], offsets["offsets_col"])] == [
        (pair["a"], pair["b"]) for pair in pairs]
    assert len(matrix("pairs", sample=3, limit=1).result["pairs"]) == 3 and matrix("pairs", filter={"must": [{"has_id": [1]}]}).result["pairs"] == []
    assert matrix("pairs", using="gone").status == 400 and matrix("pairs", sample=10**9).status == 400


def test_what_older_clients_send(cities):
    found = cities.query(query=VECTORS[1], limit=3)
    send = lambda path, **body: cities.send("POST", "/collections/c/points" + path, body)
    assert send("/search", vector=VECTORS[1], limit=3).result == found == send("/search", vector=VECTORS[1], top=3).result
    assert send("/search", vector={"name": "words", "vector": {"indices": [12], "values": [1]}}, limit=3).result[0]["id"] == 9
    assert send("/search/batch", searches=[{"vector": VECTORS[1], "limit": 3}]).result == [found]
    assert send("/search", vector=VECTORS[1]).status == 400
    refused = send("/search", vector=VECTORS[1], limit=0)
    assert (refused.status, refused.error) == (422, "Validation error in JSON body: [search_request.limit: value 0 invalid, must be 1 or larger]")


# Bad input

@pytest.mark.parametrize("kind, body, status, text", [
    ("/query", {"prefetch": [{"query": VECTORS[1]}]}, 400,
     "Bad request: A query is needed to merge the prefetches. Can't have prefetches without defining a query."),
    ("/query", {"score_threshold": 10}, 400,
     "Bad request: A query is needed to use the score_threshold. Can't have score_threshold without defining a query."),
    ("/query", {"score_threshold": 10, "query": {"order_by": "price"}}, 400, "Bad request: Can't use score_threshold with an order_by query."),
    ("/query", {"query": {"fusion": "rrf"}, "using": "words"}, 400, "Bad request: Fusion queries cannot be combined with the 'using' field."),
    ("/query", {"query": {"fusion": "rrf"}}, 400, "Bad request: "),
    ("/query", {"query": {"fusion": "magic"}, "prefetch": {"query": 1}}, 400, "Format error in JSON body: query.fusion: unknown variant `magic`"),
    ("/query", {"query": VECTORS[1], "limit": 0}, 422, "Validation error in JSON body: [internal.limit: value 0 invalid, must be 1 or larger]"),
    ("/query", {"query": VECTORS[1], "limit": -1}, 400, "Format error in JSON body: limit"),
    ("/query", {"query": VECTORS[1], "prefetch": [{"query": 1}, {"query": 1, "limit": 0}]}, 422, "[internal.prefetch[1].limit: value 0"),
    ("/query", {"query": [1, 2]}, 400, "Wrong input: Vector dimension error: expected dim: 4, got 2"),
    ("/query", {"query": [1, "2", 3, 4]}, 400, "Format error in JSON body: query[1]"),
    ("/query", {"query": [1, None, 3, 4]}, 400, "Format error in JSON body: query[1]"),
    ("/query", {"query": VECTORS[1], "using": "gone"}, 400, "Wrong input: Not existing vector name error: gone"),
    ("/query", {"query": 4711}, 404, "Not found: No point with id 4711 found"),
    ("/query", {"query": "no-uuid"}, 400, "Format error in JSON body: query: value \"no-uuid\" is not a valid point ID"),
    ("/query", {"query": {"indices": [1, 1], "values": [1, 2]}, "using": "words"}, 422, "must be unique"),
    ("/query", {"query": {"indices": [1], "values": [1, 2]}, "using": "words"}, 422, "must be the same length as indices"),
    ("/query", {"query": VECTORS[1], "filter": {"most": []}}, 400, "Format error in JSON body: "),
    ("/query", {"query": VECTORS[1], "filter": {"should": [{"undefined_condition_key": {"key": "city"}}]}}, 400, "Format error in JSON body: "),
    ("/query", {"query": VECTORS[1], "filter": {"must": [{"key": "city"}]}}, 422, "At least one field condition must be specified"),
    ("/query", {"query": {"discover": {"target": 1}}}, 400, "Format error in JSON body: query.discover: missing field `context`"),
    ("/payload", {"payload": {}, "points": [1], "filter": {"all": []}}, 400, "Format error in JSON body: filter"),
    ("/query", {"query": VECTORS[1], "with_payload": {"includes": ["a"]}}, 400, "Format error in JSON body: with_payload"),
    ("/query", {"query": [[1, 2], [3, 4]]}, 400, "multivector"),
    ("/query", {"query": {"text": "words", "model": "m"}}, 400, "inference"),
    ("/query", {"query": {"formula": {"sum": [1, "nothing"]}}, "prefetch": {"query": 1}}, 400, "No value found for nothing"),
    ("/query", {"query": VECTORS[1], "shard_key": "a"}, 400, "shard_key"),
    ("/query/groups", {"query": VECTORS[1]}, 400, "Format error in JSON body: missing field `group_by`"),
    ("/query/batch", {"searches": [{"query": VECTORS[1]}, {"query": VECTORS[1], "limit": 0}]}, 422, "[searches[1].internal.limit: value 0"),
    ("/scroll", {"filter": "all"}, 400, "Format error in JSON body: filter"),
    ("/count", {"exact": "yes"}, 400, "Format error in JSON body: exact"),
    ("", {}, 400, "Format error in JSON body: missing field `ids`"),
    ("", {"ids": [1, "x"]}, 400, "ids[1]: value \"x\" is not a valid point ID"),
])
def test_refused_reads(cities, kind, body, status, text):
    refused = cities.points("POST", kind, body, malformed=True)
    assert refused.status == status and text in refused.error, refused.text


@pytest.mark.parametrize("points, status, text", [
    ([{"id": 1, "vector": [1, 2, 3]}], 400, "Wrong input: Vector dimension error: expected dim: 4, got 3"),
    ([{"id": 1, "vector": {"gone": [1, 2, 3, 4]}}], 400, "Wrong input: Not existing vector name error: gone"),
    ([{"id": 1, "vector": {"gone": {"indices": [1], "values": [1]}}}], 400, "Not existing vector name error: gone"),
    ([{"id": 1, "vector": {"words": {"indices": [100, 500], "values": [0.9, 0.8, 0.5]}}}], 422,
     "Validation error in JSON body: [points[0].vector.?.values: Validation error: must be the same length as indices [{}]]"),
    ([{"id": 1, "vector": {"words": {"indices": [500, 100, 500], "values": [0.9, 0.8, 0.5]}}}], 422,
     "Validation error in JSON body: [points[0].vector.?.indices: Validation error: must be unique [{}]]"),
    ([{"id": 1, "vector": {"words": {"indices": [-1], "values": [1]}}}], 400, "points[0].vector.words.indices"),
    ([{"id": 1, "vector": {"words": {"indices": [2**32], "values": [1]}}}], 400, "points[0].vector.words.indices"),
    ([{"id": 1, "vector": {"words": [1, 2, 3, 4]}}], 400, "words"),
    ([{"id": 1, "vector": {"": {"indices": [1], "values": [1]}}}], 400, ""),
    ([{"id": 1, "vector": [1, 2, 3, "4"]}], 400, "Format error in JSON body: points[0].vector"),
    ([{"id": 1, "vector": [1, 2, 3, 1e39]}], 400, "Format error in JSON body: points[0].vector"),
    ([{"id": 1, "vector": [[1, 2], [3, 4]]}], 400, "points[0].vector: multivectors are not supported"),
    ([{"id": 1, "vector": {"words": {"text": "x", "model": "bm25"}}}], 400, "points[0].vector.words: inference is not supported"),
    ([{"id": 1, "vector": VECTORS[1], "payload": []}], 400, "points[0].payload"),
    ([{"id": 1}], 400, "points[0].vector: is missing"),
    ([{"vector": VECTORS[1]}], 400, "points[0].id: is missing"),
    ({"id": 1}, 400, "Format error in JSON body: "),
])
@pytest.mark.parametrize("wait", ["true", "false"])
def test_refused_points_change_nothing(cities, points, status, text, wait):
    before = cities.scroll(limit=100, with_vector=True)
    good = [{"id": 1, "vector": [0, 0, 0, 0]}, {"id": 1000, "vector": [0, 0, 0, 0]}]
    for list in [points, good + points if isinstance(points, type(good)) else points]:
        refused = cities.points("PUT", "", {"points": list}, f"?wait={wait}", malformed=True)
        assert refused.status == status and (text.replace("points[0]", "points[2]") if len(list) > 2 else text) in refused.error, refused.text
    assert cities.scroll(limit=100, with_vector=True) == before


def test_bodies_that_are_no_json_or_too_much_of_it(cities):
    deep = {"key": "a", "match": {"value": 1}}
    for _ in range(100):
        deep = {"must": [deep]}
    before = cities.scroll(limit=100, with_vector=True)
    for raw in [b"", b"{", b'{"points":[{"id":1,"vector":[1,2', b'{"points":[{"id":1,"vector":[NaN,1,2,3]}]}', b"[" * 5000, b"\xff\xfe", b'"x"', b"[]", b"{}"]:
        for method, path in [("PUT", "/points?wait=true"), ("POST", "/points/batch"), ("POST", "/points/query"), ("POST", "/points/delete"), ("PUT", "")]:
            answer = cities.send(method, "/collections/c" + path, raw)
            if raw == b"{}" and path == "/points/query":
                continue
            assert answer.status == (409 if raw == b"{}" and path == "" else 400), (path, raw[:20], answer.text)
            assert answer.body["status"]["error"] and answer.body["time"] == 0
    for path in ["/points/query", "/points/scroll", "/points/count", "/points/delete"]:
        refused = cities.send("POST", "/collections/c" + path, {"filter": deep})
        assert refused.status == 400 and refused.error.startswith("Format error in JSON body: "), refused.text
    refused = cities.send("PUT", "/collections/c/points", b'{"points":[' + b" " * 300000 + b"]}")
    assert refused.status == 413 and refused.error
    assert cities.scroll(limit=100, with_vector=True) == before


def test_unknown_collections_and_what_is_not_supported(wire):
    for method, path, body in [
            ("GET", COLLECTION, None), ("PATCH", COLLECTION, {}), ("PUT", COLLECTION + "/index", {"field_name": "a", "field_schema": "keyword"}),
            ("DELETE", COLLECTION + "/index/{field_name}", None), ("GET", COLLECTION + "/aliases", None), ("GET", COLLECTION + "/points/{id}", None),
            ("POST", COLLECTION + "/points", {"ids": [1]}), ("PUT", COLLECTION + "/points", {"points": [{"id": 1, "vector": [1]}]}),
            ("PUT", COLLECTION + "/points/vectors", {"points": [{"id": 1, "vector": [1]}]}), ("POST", COLLECTION + "/points/delete", {"points": [1]}),
            ("POST", COLLECTION + "/points/vectors/delete", {"points": [1], "vector": [""]}), ("POST", COLLECTION + "/points/payload", {"payload": {}, "points": [1]}),
            ("POST", COLLECTION + "/points/payload/clear", {"points": [1]}), ("POST", COLLECTION + "/points/batch", {"operations": []}),
            ("POST", COLLECTION + "/points/scroll", {}), ("POST", COLLECTION + "/points/count", {}), ("POST", COLLECTION + "/facet", {"key": "a"}),
            ("POST", COLLECTION + "/points/query", {}), ("POST", COLLECTION + "/points/query/batch", {"searches": [{}]}),
            ("POST", COLLECTION + "/points/query/groups", {"group_by": "a"}), ("GET", COLLECTION + "/cluster", None)]:
        refused = wire.call(method, path, body, collection_name="nowhere", id=1, field_name="a")
        assert (refused.status, refused.error) == (404, "Not found: Collection `nowhere` doesn't exist!"), (path, refused.text)
    for method, path in [("POST", "/snapshots"), ("GET", "/collections/c/snapshots"), ("PUT", "/collections/c/shards"), ("GET", "/quotas")]:
        refused = wire.send(method, path, {} if method != "GET" else None)
        assert refused.status == 400 and "not supported" in refused.error, refused.text
    for method, path in [("POST", "/cluster/recover"), ("DELETE", "/cluster/peer/1")]:
        refused = wire.send(method, path)
        assert refused.status == 405 and "standalone mode" in refused.error, refused.text
    assert wire.send("GET", "/no/such/path").error.startswith("Not found: ")


def test_strict_mode_forbids_what_its_settings_name(cities):
    def strict(**settings):
        assert cities.call("PATCH", COLLECTION, {"strict_mode_config": {"enabled": True, **settings}}).ok

    def forbidden(answer, text):
        assert answer.status == 403 and text in answer.error, answer.text

    berlin = {"must": [{"key": "city", "match": {"value": "Berlin"}}]}
    query = lambda query="", **body: cities.call("POST", COLLECTION + "/points/query", {"query": VECTORS[1], **body}, query)
    strict(max_query_limit=4, max_timeout=2, search_max_hnsw_ef=5, search_allow_exact=False, search_max_oversampling=1.9, search_max_batchsize=1,
           unindexed_filtering_retrieve=False, unindexed_filtering_update=False, filter_max_conditions=2, condition_max_size=3,
           upsert_max_batchsize=2, sparse_config={"words": {"max_length": 2}})
    assert query(limit=4, params={"hnsw_ef": 5, "quantization": {"oversampling": 1.5}}).ok and query("?timeout=2", limit=1).ok
    forbidden(query(limit=5), 'Limit exceeded 5 > 4 for "limit"')
    forbidden(query(limit=1, prefetch={"limit": 10}), '"limit"')
    forbidden(query("?timeout=3", limit=1), '"timeout"')
    forbidden(query(limit=1, params={"hnsw_ef": 6}), "hnsw_ef")
    forbidden(query(limit=1, params={"exact": True}), "Exact search disabled!")
    forbidden(query(limit=1, params={"quantization": {"oversampling": 2.0}}), "oversampling")
    forbidden(query(limit=1, filter=berlin), 'Index required but not found for "city"')
    forbidden(cities.points("POST", "/delete", {"filter": berlin}), '"city"')
    cities.call("PUT", COLLECTION + "/index", {"field_name": "city", "field_schema": "keyword"}, "?wait=true")
    assert query(limit=1, filter=berlin).ok
    forbidden(query(limit=1, filter={"must": berlin["must"] * 3}), "Filter condition limit reached (3 > 2)")
    forbidden(query(limit=1, filter={"must": [{"key": "city", "match": {"any": ["a", "b", "c", "d"]}}]}), "Condition size limit reached (4 > 3)")
    forbidden(cities.points("POST", "/query/batch", {"searches": [{"limit": 1}] * 2}), "search batch size")
    forbidden(cities.points("PUT", "", {"points": [{"id": id, "vector": {}} for id in (50, 51, 52)]}), "upsert limit")
    forbidden(cities.points("PUT", "/vectors", {"points": [{"id": 1, "vector": [0] * 4}] * 3}), "update limit")
    forbidden(cities.points("PUT", "", {"points": [{"id": 50, "vector": {"words": {"indices": [1, 2, 3], "values": [1, 2, 3]}}}]}),
              "Sparse vector 'words' has a limit of 2 indices")
    strict(max_points_count=8, upsert_max_batchsize=1000)
    assert cities.points("PUT", "", {"points": [{"id": 50, "vector": {}}]}).ok
    forbidden(cities.points("PUT", "", {"points": [{"id": 51, "vector": {}}]}), "points count")
    strict(max_points_count=1000, max_collection_vector_size_bytes=9 * 16)
    assert cities.points("PUT", "", {"points": [{"id": 51, "vector": {}}]}).ok
    forbidden(cities.points("PUT", "", {"points": [{"id": 52, "vector": {}}]}), "Max vector storage size limit")
    assert cities.points("POST", "/delete", {"points": [51]}).ok
    # Blocks of 128 bytes, what is replaced included.
    strict(max_collection_vector_size_bytes=1000, max_collection_payload_size_bytes=20 * 128)
    write = lambda: cities.points("PUT", "", {"points": [{"id": 50, "vector": {}, "payload": {"city": "Berlin"}}]})
    written = next(count for count in range(20) if not write().ok)
    assert 5 < written < 20
    forbidden(write(), "Max payload storage size limit")
    forbidden(cities.points("POST", "/payload", {"payload": {"a": 1}, "points": [1]}), "Max payload storage size limit")
    strict(max_collection_payload_size_bytes=1_000_000, max_resident_memory_percent=100)
    assert write().ok
    strict(read_rate_limit=1, max_query_limit=100)
    answers = [query(limit=1) for _ in range(5)]
    assert answers[0].ok and all(answer.status == 429 and "Read rate limit exceeded, retry later" in answer.error for answer in answers[1:])
    assert 55 < int(answers[1].headers["Retry-After"]) <= 60
    strict(enabled=False)
    assert query(limit=50, params={"exact": True}).ok
    strict(read_rate_limit=1)
    assert query(limit=1).ok, "settings that are set again begin anew"
    formula = {"formula": {"sum": ["$score", "price"]}, "defaults": {"price": 0}}
    strict(read_rate_limit=1000)
    forbidden(cities.points("POST", "/query", {"prefetch": {"query": VECTORS[1], "limit": 1}, "query": formula}), 'not found for "price" in formula expression')
    forbidden(cities.points("POST", "/search/matrix/pairs", {"sample": 50, "limit": 3}), "Limit exceeded 150 > 100")


def test_a_request_costs_what_it_touches(cities):
    """One token a vector, id or condition read, one a point written, half of all for a filter."""
    def strict(**settings):
        assert cities.call("PATCH", COLLECTION, {"strict_mode_config": {"enabled": True, **settings}}).ok

    def limited(answer, text, wait=None):
        assert answer.status == 429 and answer.error.startswith("Rate limiting exceeded: ") and text in answer.error, answer.text
        retry = answer.headers.get("Retry-After")
        assert retry is None if wait is None else abs(int(retry) - wait) <= 1, answer.headers

    too_much = "rate limit exceeded, request larger than rate limiter capacity, please try to split your request"
    condition = {"key": "price", "range": {"gt": 1}}
    strict(read_rate_limit=4, write_rate_limit=4)
    limited(cities.points("POST", "", {"ids": [1, 2, 3, 4, 5]}), "Read " + too_much)
    limited(cities.points("POST", "/query", {"query": {"recommend": {"positive": [1, 2, 3], "negative": [4, 5]}}, "limit": 1}), "Read " + too_much)
    limited(cities.points("POST", "/scroll", {"filter": {"must": [condition] * 4}}), "Read " + too_much)
    assert cities.points("POST", "", {"ids": [1, 2, 3]}).ok
    limited(cities.points("POST", "/scroll", {"filter": {"must": [condition] * 2}}), "Read rate limit exceeded: Operation requires 3 tokens but only 1.0 were available", 30)
    points = [{"id": id, "vector": {}} for id in range(60, 65)]
    limited(cities.points("PUT", "", {"points": points}), "Write " + too_much)
    assert cities.points("POST", "/payload", {"payload": {"a": 1}, "filter": {"must": [condition]}}).ok
    limited(cities.points("PUT", "", {"points": points[:4]}), "Write rate limit exceeded: Operation requires 4 tokens but only 1.0 were available", 45)


# Service

def test_nothing_waits_for_an_optimizer(cities):
    optimizations = lambda query="": cities.call("GET", COLLECTION + "/optimizations", query=query)
    summary = {"queued_optimizations": 0, "queued_segments": 0, "queued_points": 0, "idle_segments": 1}
    assert optimizations().result == {"summary": summary, "running": []}
    found = optimizations("?with=queued,completed,idle_segments&completed_limit=3").result
    assert found["queued"] == found["completed"] == [] and [one["points_count"] for one in found["idle_segments"]] == [7]
    assert optimizations("?with=nothing").status == 400 and optimizations("?completed_limit=x").status == 400


def test_the_service_tells_of_itself(cities):
    assert cities.call("GET", "/").body["version"].startswith("1.")
    assert [cities.call("GET", path).text for path in ("/healthz", "/livez", "/readyz")] == ["healthz check passed"] * 2 + ["all shards are ready"]
    text = cities.call("GET", "/metrics").text
    for line in ["# HELP app_info information about qdrant server", "# TYPE app_info gauge", 'app_info{name="qdrant",version="', "collections_total 1"]:
        assert line in text
    before = datetime.datetime.now(datetime.timezone.utc)
    for level in [0, 1, 2, 3, 10]:
        telemetry = cities.call("GET", "/telemetry", query=f"?details_level={level}").result
        endpoint = telemetry["requests"]["rest"]["responses"]["PUT /collections/{name}/points"]["200"]
        assert endpoint["count"] > 0 and endpoint["avg_duration_micros"] > 0
        assert datetime.datetime.fromisoformat(telemetry["app"]["startup"].replace("Z", "+00:00")) < before
        assert datetime.datetime.fromisoformat(endpoint["last_responded"].replace("Z", "+00:00"))
        assert telemetry["collections"]["number_of_collections"] == 1 and ("collections" in telemetry["collections"]) == (level > 0)
    assert cities.call("GET", "/cluster").result == {"status": "disabled"}
    assert cities.call("GET", COLLECTION + "/cluster").result["local_shards"][0]["points_count"] == 7
    assert cities.call("GET", "/issues").ok and cities.call("DELETE", "/issues").result is True
