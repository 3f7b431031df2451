"""Random payloads, filters and searches: the same ids and scores as Qdrant's own engine (qdrant-edge-py) gives."""
import json
import random
import urllib.request

import pytest
import qdrant_edge as edge
from indexer_process import KEY, folder, indexer  # noqa: F401 (fixtures)

SEED = 5
COUNT = 400


def scalar(draw):
    return draw.choice([
        lambda: draw.choice(["red", "blue", "dark blue", "Red", ""]), lambda: draw.randrange(-3, 4), lambda: draw.choice([0.5, 1.0, -2.5]),
        lambda: draw.random() < 0.5, lambda: None, lambda: f"2024-0{draw.randrange(1, 4)}-1{draw.randrange(0, 9)}T0{draw.randrange(9)}:00:00Z"])()


def value(draw, depth=0):
    kind = draw.random()
    if kind < 0.6 or depth == 2:
        return scalar(draw)
    if kind < 0.8:
        return [value(draw, depth + 1) for _ in range(draw.randrange(3))]
    return {name: value(draw, depth + 1) for name in "ab" if draw.random() < 0.7}


def payload(draw):
    return {name: value(draw) for name in ("k", "l", "m") if draw.random() < 0.8}


def condition(draw):
    """No booleans: the engine's Python binding takes them for 1 and 0."""
    key = draw.choice(["k", "l", "m", "k.a", "l.b", "k[]", "k[].a", "m[0]", "l.a[]", "k.a.b"])
    words, numbers = ["red", "blue", "Red", "x"], [-2, 0, 1, 3]
    bounds = lambda pick: {name: pick() for name in draw.sample(["gt", "gte", "lt", "lte"], draw.randrange(1, 3))}
    return draw.choice([
        lambda: {"key": key, "match": {"value": draw.choice(words + numbers)}},
        lambda: {"key": key, "match": {"any": draw.sample(draw.choice([words, numbers]), 2)}},
        lambda: {"key": key, "match": {"except": draw.sample(draw.choice([words, numbers]), 2)}},
        lambda: {"key": key, "match": {"text": draw.choice(["blue", "red"])}},
        lambda: {"key": key, "range": bounds(lambda: draw.choice([-2, -0.5, 0, 0.5, 1, 2]))},
        lambda: {"key": key, "range": bounds(lambda: f"2024-0{draw.randrange(1, 4)}-14T00:00:00Z")},
        lambda: {"key": key, "values_count": bounds(lambda: draw.randrange(3))},
        lambda: {"is_empty": {"key": key}},
        lambda: {"is_null": {"key": key}},
        lambda: {"has_id": [draw.randrange(COUNT) for _ in range(100)]},
    ])()


def filter_of(draw, depth=0):
    def several():
        return [filter_of(draw, depth + 1) if depth < 2 and draw.random() < 0.2 else condition(draw) for _ in range(draw.randrange(1, 3))]
    names = draw.sample(["must", "should", "must_not"], draw.randrange(1, 3))
    built = {name: several() for name in names}
    if draw.random() < 0.15:
        built["min_should"] = {"conditions": several() + several(), "min_count": draw.randrange(1, 3)}
    return built


def for_edge(node):
    if "key" in node:
        arguments = {}
        if "match" in node:
            (kind, wanted), = node["match"].items()
            arguments["match"] = {"value": edge.MatchValue, "any": edge.MatchAny, "except": edge.MatchExcept, "text": edge.MatchText}[kind](wanted)
        elif "range" in node:
            dates = any(isinstance(bound, str) for bound in node["range"].values())
            arguments["range"] = (edge.RangeDateTime if dates else edge.RangeFloat)(**node["range"])
        else:
            arguments["values_count"] = edge.ValuesCount(**node["values_count"])
        return edge.FieldCondition(node["key"], **arguments)
    if "is_empty" in node:
        return edge.IsEmptyCondition(node["is_empty"]["key"])
    if "is_null" in node:
        return edge.IsNullCondition(node["is_null"]["key"])
    if "has_id" in node:
        return edge.HasIdCondition(set(node["has_id"]))
    parts = {name: [for_edge(child) for child in node[name]] for name in ("must", "should", "must_not") if name in node}
    if "min_should" in node:
        parts["min_should"] = edge.MinShould([for_edge(child) for child in node["min_should"]["conditions"]], node["min_should"]["min_count"])
    return edge.Filter(**parts)


def vector(draw):
    return [draw.gauss(0, 1) for _ in range(8)]


class Both:
    """One collection in both stores."""
    def __init__(self, indexer, folder, distance):
        self.indexer = indexer
        draw = random.Random(SEED)
        self.points = [(number, vector(draw), payload(draw)) for number in range(COUNT)]
        self.shard = edge.EdgeShard.create(f"{folder}-edge-{distance}", edge.EdgeConfig(
            vectors=edge.EdgeVectorParams(size=8, distance=getattr(edge.Distance, distance))))
        self.shard.update(edge.UpdateOperation.upsert_points([edge.Point(*point) for point in self.points]))
        self.call("PUT", "", {"vectors": {"size": 8, "distance": distance}})
        self.call("PUT", "/points?wait=true", {"points": [dict(zip(("id", "vector", "payload"), point)) for point in self.points]})

    def call(self, method, path, body):
        request = urllib.request.Request(
            f"{self.indexer.url}/collections/c{path}", json.dumps(body).encode(), {"api-key": KEY, "Content-Type": "application/json"}, method=method)
        return json.load(urllib.request.urlopen(request, timeout=20))["result"]


@pytest.fixture
def both(indexer, folder, tmp_path):
    import os
    os.makedirs(f"{tmp_path}/x-edge-Cosine")
    return Both(indexer, f"{tmp_path}/x", "Cosine")


def test_filters_match_the_same_points(both):
    draw = random.Random(SEED + 1)
    different = []
    for _ in range(1500):
        wanted = filter_of(draw)
        theirs, _ = both.shard.scroll(edge.ScrollRequest(limit=COUNT, filter=for_edge(wanted)))
        ours = both.call("POST", "/points/scroll", {"limit": COUNT, "filter": wanted, "with_payload": False})
        if [point.id for point in theirs] != [point["id"] for point in ours["points"]]:
            different.append(wanted)
    smallest = sorted(different, key=lambda wanted: len(json.dumps(wanted)))[:10]
    explained = []
    for wanted in smallest:
        theirs = {point.id for point in both.shard.scroll(edge.ScrollRequest(limit=COUNT, filter=for_edge(wanted)))[0]}
        ours = {point["id"] for point in both.call("POST", "/points/scroll", {"limit": COUNT, "filter": wanted})["points"]}
        explained.append((wanted, [("theirs", both.points[n][2]) for n in sorted(theirs - ours)[:2]] + [("ours", both.points[n][2]) for n in sorted(ours - theirs)[:2]]))
    assert not different, f"{len(different)} of 1500: " + "\n".join(map(str, explained))


@pytest.mark.parametrize("distance", ["Cosine", "Dot", "Euclid", "Manhattan"])
def test_searches_give_the_same_points_and_scores(indexer, tmp_path, distance):
    import os
    os.makedirs(f"{tmp_path}/x-edge-{distance}")
    both = Both(indexer, f"{tmp_path}/x", distance)
    draw = random.Random(SEED + 2)
    for _ in range(100):
        target, wanted = vector(draw), filter_of(draw) if draw.random() < 0.5 else None
        options = {"limit": draw.randrange(1, 30), "offset": draw.randrange(5)}
        if draw.random() < 0.5:
            options["score_threshold"] = draw.choice([0.2, 2.0, 5.0])
        theirs = both.shard.query(edge.QueryRequest(
            query=edge.Query.Nearest(target), filter=for_edge(wanted) if wanted else None, **options))
        ours = both.call("POST", "/points/query", {"query": target, "filter": wanted, **options})["points"]
        assert [point.id for point in theirs] == [point["id"] for point in ours]
        assert [point.score for point in theirs] == pytest.approx([point["score"] for point in ours], rel=1e-4, abs=1e-5)
