"""Good requests with something wrong in them, at random: whatever a body holds, the answer has Qdrant's form, and the indexer lives."""
import copy
import json
import random

import pytest
from indexer_process import folder, indexer  # noqa: F401 (fixtures)
from wire import Wire

ROUNDS = 1500
UUID = "b524a3c4-c568-4383-8019-c9ca08243d6a"
DENSE, SPARSE = [0.1, 0.2, 0.3, 0.4], {"indices": [3, 1], "values": [1, 2]}
CORNERS = [{"lon": 0, "lat": 0}, {"lon": 0, "lat": 1}, {"lon": 1, "lat": 1}, {"lon": 0, "lat": 0}]
FILTER = {
    "must": [{"key": "city", "match": {"value": "Berlin"}}, {"key": "price", "range": {"gte": 1, "lt": 9.5}}, {"key": "tags", "match": {"any": ["a", "b"]}}],
    "should": [{"is_empty": {"key": "x"}}, {"is_null": {"key": "y.z[]"}}, {"has_id": [1, UUID]}, {"has_vector": "words"}],
    "must_not": [{"nested": {"key": "list", "filter": {"must": [{"key": "k", "match": {"except": [1, 2]}}]}}}, {"key": "tags", "values_count": {"gte": 3}},
                 {"key": "at", "geo_radius": {"center": {"lon": 1, "lat": 2}, "radius": 100}}, {"key": "at", "geo_polygon": {"exterior": {"points": CORNERS}}},
                 {"key": "at", "geo_bounding_box": {"top_left": {"lon": 1, "lat": 2}, "bottom_right": {"lon": 3, "lat": 1}}},
                 {"key": "t", "range": {"gte": "2024-01-01T00:00:00Z"}}, {"key": "city", "match": {"text": "a b"}}],
    "min_should": {"conditions": [{"key": "price", "range": {"lt": 100}}], "min_count": 1}}
POINTS = [{"id": 1, "vector": DENSE, "payload": {"city": "Berlin", "price": 3.5, "tags": ["a"]}}, {"id": UUID, "vector": {"": DENSE, "words": SPARSE}, "payload": None}]
LISTS = [{"query": DENSE, "limit": 5, "filter": FILTER}, {"query": SPARSE, "using": "words", "prefetch": {"limit": 9}}]
PAIR = {"positive": 1, "negative": DENSE}
REQUESTS = [
    ("PUT", "/points?wait=true", {"points": POINTS, "update_filter": FILTER, "update_mode": "upsert"}),
    ("PUT", "/points", {"batch": {"ids": [3, 4], "vectors": {"": [DENSE, DENSE], "words": [SPARSE, SPARSE]}, "payloads": [{"a": 1}, None]}}),
    ("PUT", "/points/vectors", {"points": [{"id": 1, "vector": {"words": SPARSE}}], "update_filter": FILTER}),
    ("POST", "/points/vectors/delete", {"points": [1], "vector": ["words"], "filter": FILTER}),
    ("POST", "/points/delete", {"filter": FILTER}),
    ("POST", "/points/payload", {"payload": {"a": {"b": 1}}, "points": [1], "key": "x.y[0]"}),
    ("POST", "/points/payload/delete", {"keys": ["a.b", "c[].d"], "points": [1, 2]}),
    ("POST", "/points/batch", {"operations": [{"upsert": {"points": POINTS}}, {"delete": {"points": [8]}}, {"set_payload": {"payload": {"z": 1}, "points": [7]}},
                                              {"update_vectors": {"points": [{"id": 1, "vector": DENSE}]}}]}),
    ("POST", "/points", {"ids": [1, UUID], "with_payload": ["city"], "with_vector": True}),
    ("POST", "/points/scroll", {"limit": 3, "offset": 2, "filter": FILTER, "with_payload": {"include": ["city"]}, "with_vector": ["words"]}),
    ("POST", "/points/scroll", {"limit": 3, "order_by": {"key": "price", "direction": "desc", "start_from": 5}}),
    ("POST", "/points/count", {"filter": FILTER, "exact": True}),
    ("POST", "/facet", {"key": "city", "limit": 3, "filter": FILTER, "exact": True}),
    ("POST", "/points/query", {"query": DENSE, "limit": 3, "offset": 1, "filter": FILTER, "params": {"exact": True, "hnsw_ef": 4}, "score_threshold": 0.1, "with_payload": True}),
    ("POST", "/points/query", {"prefetch": LISTS, "query": {"fusion": "dbsf"}, "limit": 3}),
    ("POST", "/points/query", {"prefetch": LISTS, "query": {"rrf": {"k": 3, "weights": [1, 2.5]}}}),
    ("POST", "/points/query", {"query": {"recommend": {"positive": [1, DENSE], "negative": [UUID], "strategy": "best_score"}}, "lookup_from": {"collection": "c", "vector": ""}}),
    ("POST", "/points/query", {"query": {"discover": {"target": 1, "context": [PAIR]}}}),
    ("POST", "/points/query", {"query": {"nearest": DENSE, "mmr": {"diversity": 0.2, "candidates_limit": 9}}}),
    ("POST", "/points/query", {"query": {"order_by": {"key": "price", "start_from": 1}}}),
    ("POST", "/points/query", {"query": SPARSE, "using": "words", "params": {"idf": {"corpus": FILTER}}}),
    ("POST", "/points/query/batch", {"searches": [{"query": DENSE}, {"query": {"sample": "random"}}]}),
    ("POST", "/points/query/groups", {"query": DENSE, "group_by": "city", "group_size": 2, "limit": 3, "with_lookup": {"collection": "c", "with_payload": True}}),
    ("POST", "/points/search", {"vector": {"name": "words", "vector": SPARSE}, "limit": 3}),
    ("POST", "/points/search/matrix/offsets", {"sample": 5, "limit": 2, "filter": FILTER}),
    ("PUT", "/index", {"field_name": "city", "field_schema": {"type": "text", "tokenizer": "word", "stopwords": {"custom": ["a"]}, "stemmer": {"type": "snowball", "language": "english"}}}),
    ("PATCH", "", {"vectors": {"": {"hnsw_config": {"m": 3}}}, "params": {"replication_factor": 1}, "sparse_vectors": {"words": {"modifier": "none"}}, "metadata": {"a": 1}}),
    ("PUT", "/vectors/more", {"sparse": {"modifier": "idf"}}),
    ("DELETE", "/vectors/more", {}),
]
ODD = [None, True, False, 0, -1, 1, 1.5, -0.0, 2**31, 2**32, 2**53 + 1, 2**63, 2**64, -2**63, 1e308, 1e-320, "", "a.b", "a[", "[]", "\0", "\U0001f600", "x" * 300, "2024-01-01",
       [], [None], [[]], [1, "a"], {}, {"a": None}, {"": 1}, {"key": "a"}, {"must": []}, DENSE, SPARSE, UUID]


def paths(node, path=()):
    yield path
    for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield from paths(node[key], path + (key,))


def mutated(draw, body):
    body = {"": copy.deepcopy(body)}
    for _ in range(draw.choice([1, 1, 2])):
        *way, last = draw.choice([path for path in paths(body) if len(path) > 1] or [("",)])
        node = body
        for key in way:
            node = node[key]
        how = draw.random()
        if how < 0.7:
            node[last] = copy.deepcopy(draw.choice(ODD))
        elif how < 0.85:
            del node[last]
        elif isinstance(node, dict):
            node[draw.choice(["extra", "must", "key", "limit", "vector", "points", "filter"])] = copy.deepcopy(draw.choice(ODD))
        else:
            node.append(copy.deepcopy(draw.choice(ODD)))
    return body.get("")


@pytest.mark.parametrize("is_empty", [False, True])
def test_no_body_ends_the_indexer(indexer, is_empty):
    draw = random.Random(int(is_empty))
    wire = Wire(indexer.url)
    for number in range(ROUNDS):
        if number % 300 == 0:
            wire.create(vectors={"size": 4, "distance": "Cosine"}, sparse_vectors={"words": {"modifier": "idf"}})
        if number % 10 == 0:
            answer = wire.points("POST", "/delete", {"filter": {}}) if is_empty else wire.points("PUT", "", {"points": POINTS})
            assert answer.ok, answer.text
        method, path, good = draw.choice(REQUESTS)
        body = mutated(draw, good)
        try:
            answer = wire.send(method, "/collections/c" + path, body)
        except OSError as lost:
            raise AssertionError(f"{lost}: {method} {path} {json.dumps(body)}") from lost
        assert answer.status in (200, 400, 404, 409, 422), f"{answer.text}: {method} {path} {json.dumps(body)}"
        if answer.status != 200:
            assert answer.error and answer.body["time"] == 0
