"""Random payloads and filters: the same points as two others find: Qdrant's own engine (qdrant-edge-py) and qdrant-client's `:memory:`."""
import json
import os
import random
import urllib.parse

import pytest
import qdrant_edge as edge
from indexer_process import folder, indexer  # noqa: F401 (fixtures)
from qdrant_client import QdrantClient, models
from wire import Wire

SEED = int(os.environ.get("TEST_SEED", "5"))
COUNT = 400
KEYS = ["k", "l", "m", "k.a", "l.b", "k[]", "k[].a", "m[0]", "l.a[]", "k.a.b", "m[][]", "n[].a", "n[0].b", "n[].m[].a", '"x y".z', "t", "g", "d", "i"]
WORDS = ["red", "blue", "dark blue", "Red", "", "Blue-Green x_1", "crème brûlée 3.5 it's", "x" * 300 + " red"]
DATES = ["2024-02-14T00:00:00Z", "2024-02-14", "2024-02-14T02:00:00+02:00", "2024-02-14 00:00", "2024-02-13T23:59:59.999999Z", "2024-02-30", "soon"]


def scalar(draw):
    return draw.choice([
        lambda: draw.choice(WORDS), lambda: draw.randrange(-3, 4), lambda: draw.choice([0.5, 1.0, -2.5, 2 ** 53 + 1, 2 ** 63]),
        lambda: draw.random() < 0.5, lambda: None, lambda: f"2024-0{draw.randrange(1, 4)}-1{draw.randrange(0, 9)}T0{draw.randrange(9)}:00:00Z"])()


def value(draw, depth=0):
    kind = draw.random()
    if kind < 0.6 or depth == 2:
        return scalar(draw)
    if kind < 0.8:
        return [value(draw, depth + 1) for _ in range(draw.randrange(3))]
    return {name: value(draw, depth + 1) for name in "ab" if draw.random() < 0.7}


def place(draw):
    wrong = draw.random()
    if wrong < 0.05:
        return draw.choice([{"lat": "1", "lon": 2}, {"lat": 1}, [1, 2], None, {"lat": None, "lon": 0}])
    return {"lat": draw.choice([round(draw.uniform(-90, 90), 4), draw.randrange(-9, 10) * 10]),
            "lon": draw.choice([round(draw.uniform(-180, 180), 4), draw.randrange(-18, 19) * 10])}


def payload(draw):
    if draw.random() < 0.03:
        return None
    built = {name: value(draw) for name in ("k", "l", "m") if draw.random() < 0.8}
    built["n"] = draw.choice([
        lambda: [draw.choice([lambda: {"a": value(draw, 1), "b": scalar(draw)}, lambda: {"m": [{"a": scalar(draw)} for _ in range(2)]}, lambda: scalar(draw)])()
                 for _ in range(draw.randrange(4))],
        lambda: {"a": 1}, lambda: None])()
    built["x y"] = {"z": scalar(draw)}
    built["t"] = " ".join(draw.choices(["red", "Blue", "green", "steel", "of", "bottle", "Ünder"], k=draw.randrange(6)))
    built["d"] = draw.choice(DATES)
    built["i"] = draw.choice([lambda: draw.randrange(-3, 4), lambda: [draw.choice([0, 1, 2, True, 0.5, "1", None]) for _ in range(draw.randrange(4))], lambda: True])()
    built["g"] = place(draw) if draw.random() < 0.8 else [place(draw) for _ in range(draw.randrange(3))]
    return {name: part for name, part in built.items() if draw.random() < 0.9}


def bounds(draw, pick):
    return {name: pick() for name in draw.sample(["gt", "gte", "lt", "lte"], draw.randrange(1, 3))}


def geo(draw):
    point = lambda: {"lat": draw.randrange(-90, 91), "lon": draw.randrange(-180, 181)}
    if draw.random() < 0.3:
        return {"geo_bounding_box": {"top_left": {"lat": draw.randrange(0, 91), "lon": draw.randrange(-180, 181)},
                                     "bottom_right": {"lat": draw.randrange(-90, 1), "lon": draw.randrange(-180, 181)}}}
    if draw.random() < 0.5:
        return {"geo_radius": {"center": point(), "radius": draw.choice([0.0, 1e5, 1e6, 5e6, 1.5e7, 3e7])}}
    low, left, high, right = draw.randrange(-90, 0), draw.randrange(-180, 0), draw.randrange(0, 90), draw.randrange(0, 180)
    line = [{"lat": low, "lon": left}, {"lat": low, "lon": right}, {"lat": high, "lon": right}, {"lat": high, "lon": left}, {"lat": low, "lon": left}]
    if draw.random() < 0.5:
        line.insert(3, {"lat": 0, "lon": 0})
    hole = [{"lat": 10, "lon": -20}, {"lat": 10, "lon": 20}, {"lat": 40, "lon": 0}, {"lat": 10, "lon": -20}]
    return {"geo_polygon": {"exterior": {"points": line}, **({"interiors": [{"points": hole}]} if draw.random() < 0.5 else {})}}


def predicate(draw, key):
    words, numbers = WORDS + ["x"], [-2, 0, 1, 3, 2 ** 53 + 1]
    texts = ["blue", "RED", "dark red", "green blue", "brulee", "brûlée crème", "3.5", "x_1", "", "-", "steel bottle", "of", "under ünder"]
    if key == "g" and draw.random() < 0.8:
        return geo(draw)
    if key == "t" and draw.random() < 0.8:
        return {"match": {draw.choice(["text", "text_any", "phrase"]): draw.choice(texts)}}
    return draw.choice([
        lambda: {"match": {"value": draw.choice(words + numbers + [True, False])}},
        lambda: {"match": {"any": draw.sample(draw.choice([words, numbers]), 2)}},
        lambda: {"match": {"except": draw.sample(draw.choice([words, numbers]), draw.randrange(3))}},
        lambda: {"match": {draw.choice(["text", "text_any", "phrase"]): draw.choice(texts)}},
        lambda: {"match": {draw.choice(["prefix", "substring"]): draw.choice(["", "r", "re", "xxx", "Blue-", "20", "red"])}},
        lambda: {"range": bounds(draw, lambda: draw.choice([-2, -0.5, 0, 0.5, 1, 2]))},
        lambda: {"range": bounds(draw, lambda: draw.choice(["2024-01-14T00:00:00Z", "2024-02-14T00:00:00Z", "2024-02-13T23:59:59.999999Z", "2024-03-14T00:00:00Z"]))},
        lambda: {"values_count": bounds(draw, lambda: draw.randrange(3))},
        lambda: {"is_empty": draw.random() < 0.5},
        lambda: {"is_null": draw.random() < 0.5},
    ])()


def condition(draw, keys=KEYS):
    key = draw.choice(keys)
    return draw.choice([
        lambda: {"key": key, **predicate(draw, key)}, lambda: {"key": key, **predicate(draw, key)}, lambda: {"key": key, **predicate(draw, key)},
        lambda: {"key": key, **predicate(draw, key)},
        lambda: {"is_empty": {"key": key}},
        lambda: {"is_null": {"key": key}},
        lambda: {"has_id": [draw.randrange(COUNT) for _ in range(100)]},
        lambda: {"has_vector": draw.choice(["", "other"])},
        lambda: {"slice": {"total": 3, "index": draw.randrange(3)}},
        lambda: {"nested": {"key": draw.choice(["n", "n[]", "k", "n[].m", "n[0]"]), "filter": filter_of(draw, 1, ["a", "b", "m[].a", "a[]", "m"])}},
    ])()


def filter_of(draw, depth=0, keys=KEYS):
    def several():
        return [filter_of(draw, depth + 1, keys) if depth < 2 and draw.random() < 0.2 else condition(draw, keys) for _ in range(draw.randrange(1, 3))]
    built = {name: several() for name in draw.sample(["must", "should", "must_not"], draw.randrange(1, 3))}
    if draw.random() < 0.15:
        built["min_should"] = {"conditions": several() + several(), "min_count": draw.randrange(1, 3)}
    return built


def conditions_in(node):
    for name in ("must", "should", "must_not", "min_should"):
        for child in node.get(name, {}).get("conditions", []) if name == "min_should" else node.get(name, []):
            if "nested" in child:
                yield from conditions_in(child["nested"]["filter"])
            elif "key" in child or not set(child) & {"must", "should", "must_not", "min_should"}:
                yield child
            else:
                yield from conditions_in(child)


def for_edge(node):
    """Qdrant's JSON as the engine's Python binding wants it."""
    if "key" in node:
        arguments = {}
        point = lambda given: edge.GeoPoint(lon=given["lon"], lat=given["lat"])
        line = lambda given: [point(corner) for corner in given["points"]]
        if "match" in node:
            (kind, wanted), = node["match"].items()
            arguments["match"] = {"value": edge.MatchValue, "any": edge.MatchAny, "except": edge.MatchExcept, "text": edge.MatchText, "text_any": edge.MatchTextAny,
                                  "phrase": edge.MatchPhrase, "prefix": edge.MatchPrefix, "substring": edge.MatchSubstring}[kind](wanted)
        elif "range" in node:
            dates = any(isinstance(bound, str) for bound in node["range"].values())
            arguments["range"] = (edge.RangeDateTime if dates else edge.RangeFloat)(**node["range"])
        elif "values_count" in node:
            arguments["values_count"] = edge.ValuesCount(**node["values_count"])
        elif "geo_bounding_box" in node:
            box = node["geo_bounding_box"]
            arguments["geo_bounding_box"] = edge.GeoBoundingBox(point(box["top_left"]), point(box["bottom_right"]))
        elif "geo_radius" in node:
            arguments["geo_radius"] = edge.GeoRadius(point(node["geo_radius"]["center"]), node["geo_radius"]["radius"])
        elif "geo_polygon" in node:
            polygon = node["geo_polygon"]
            arguments["geo_polygon"] = edge.GeoPolygon(line(polygon["exterior"]), [line(hole) for hole in polygon.get("interiors", [])])
        else:
            arguments = {name: node[name] for name in ("is_empty", "is_null") if name in node}
        return edge.FieldCondition(node["key"], **arguments)
    if "is_empty" in node:
        return edge.IsEmptyCondition(node["is_empty"]["key"])
    if "is_null" in node:
        return edge.IsNullCondition(node["is_null"]["key"])
    if "has_id" in node:
        return edge.HasIdCondition(set(node["has_id"]))
    if "has_vector" in node:
        return edge.HasVectorCondition(node["has_vector"])
    if "slice" in node:
        return edge.SliceCondition(**node["slice"])
    if "nested" in node:
        return edge.NestedCondition(node["nested"]["key"], for_edge(node["nested"]["filter"]))
    parts = {name: [for_edge(child) for child in node[name]] for name in ("must", "should", "must_not") if name in node}
    if "min_should" in node:
        parts["min_should"] = edge.MinShould([for_edge(child) for child in node["min_should"]["conditions"]], node["min_should"]["min_count"])
    return edge.Filter(**parts)


def vector(draw):
    return [draw.gauss(0, 1) for _ in range(8)]


class Stores:
    """One collection in the indexer, in Qdrant's engine and in the client's memory."""
    def __init__(self, indexer, folder, distance="Cosine"):
        self.wire = Wire(indexer.url)
        draw = random.Random(SEED)
        self.points = [(number, vector(draw), payload(draw)) for number in range(COUNT)]
        os.makedirs(f"{folder}/edge-{distance}")
        self.engine = edge.EdgeShard.create(f"{folder}/edge-{distance}", edge.EdgeConfig(
            vectors=edge.EdgeVectorParams(size=8, distance=getattr(edge.Distance, distance))))
        self.engine.update(edge.UpdateOperation.upsert_points([edge.Point(*point) for point in self.points]))
        self.memory = QdrantClient(":memory:")
        self.memory.create_collection("c", models.VectorParams(size=8, distance=distance))
        self.memory.upsert("c", [models.PointStruct(**dict(zip(("id", "vector", "payload"), point))) for point in self.points])
        self.call("PUT", "", {"vectors": {"size": 8, "distance": distance}})
        self.call("PUT", "/points?wait=true", {"points": [dict(zip(("id", "vector", "payload"), point)) for point in self.points]})

    def call(self, method, path, body):
        return self.wire.send(method, "/collections/c" + path, body).result

    def ours(self, wanted):
        return [point["id"] for point in self.call("POST", "/points/scroll", {"limit": COUNT, "filter": wanted, "with_payload": False})["points"]]

    def of_engine(self, wanted):
        """None for what it is no oracle of: its Python binding takes booleans for 1 and 0, and beside a key it asks `is_empty` and `is_null` of
        each value at a path with brackets, which gives another answer than the same condition alone, and than the client's memory."""
        for one in conditions_in(wanted):
            if any(isinstance(value, bool) for value in one.get("match", {}).values()) or "key" in one and {"is_empty", "is_null"} & set(one):
                return None
        return [point.id for point in self.engine.scroll(edge.ScrollRequest(limit=COUNT, filter=for_edge(wanted)))[0]]

    def of_memory(self, wanted):
        """None where it is none: a border that a point lies on is not always one to its arithmetic."""
        if any("geo_polygon" in one for one in conditions_in(wanted)):
            return None
        return [point.id for point in self.memory.scroll("c", limit=COUNT, scroll_filter=models.Filter(**wanted), with_payload=False)[0]]


@pytest.fixture
def stores(indexer, tmp_path):
    return Stores(indexer, tmp_path)


def explained(stores, oracle, wanted):
    theirs, ours = set(oracle(wanted)), set(stores.ours(wanted))
    return "\n".join(map(str, [oracle.__name__, wanted] + [("theirs", stores.points[n]) for n in sorted(theirs - ours)[:2]]
                         + [("ours", stores.points[n]) for n in sorted(ours - theirs)[:2]]))


def test_filters_match_the_same_points(stores):
    print("seed", SEED)
    draw = random.Random(SEED + 1)
    filters = [filter_of(draw) for _ in range(1200)]
    found, different = [], []
    for wanted in filters:
        found.append(stores.ours(wanted))
        for oracle in (stores.of_engine, stores.of_memory):
            expected = oracle(wanted)
            if expected is not None and expected != found[-1]:
                different.append((len(json.dumps(wanted)), oracle, wanted))
    different.sort(key=lambda one: one[0])
    assert not different, f"seed {SEED}: {len(different)} differ: " + "\n".join(explained(stores, *one[1:]) for one in different[:6])

    # Payload indexes change no answer.
    for field, kind in [("k", "keyword"), ("l", "integer"), ("m", "float"), ("g", "geo"), ("d", "datetime"), ("t", "text"), ("n[].a", "integer"), ("k.a", "bool"), ("i", "integer")]:
        stores.call("PUT", "/index?wait=true", {"field_name": field, "field_schema": kind})
    assert [stores.ours(wanted) for wanted in filters[:300]] == found[:300]


# An integer index of the engine takes 1.0 for 1, which no filter without an index does: "i" has no such number.
INDEXES = {"keyword": ["k", "l", "n[].a", "x y.z"], "integer": ["i"], "float": ["m", "l.a[]"], "datetime": ["d", "k"], "uuid": ["u"], "bool": ["l", "k"]}


def test_orders_facets_and_groups_are_the_same(stores):
    """With an index of each kind, one after the other: the engine and Qdrant look at what an index holds, the client's memory at everything."""
    draw = random.Random(SEED + 2)
    ids = ["550e8400-e29b-41d4-a716-446655440000", "550E8400E29B41D4A716446655440000", "00000000-0000-0000-0000-000000000001", "no"]
    changes = {number: draw.sample(ids, draw.randrange(1, 3)) for number in range(0, COUNT, 3)}
    for number, values in changes.items():
        stores.call("POST", "/points/payload?wait=true", {"payload": {"u": values}, "points": [number]})
        stores.engine.update(edge.UpdateOperation.set_payload([number], {"u": values}))
        stores.memory.set_payload("c", {"u": values}, [number])
    for kind, fields in INDEXES.items():
        for field in fields:
            field = '"x y".z' if field == "x y.z" else field
            stores.call("PUT", "/index?wait=true", {"field_name": field, "field_schema": kind})
            stores.engine.update(edge.UpdateOperation.create_field_index(field, getattr(edge.PayloadSchemaType, kind.capitalize())))
            for _ in range(4):
                wanted = filter_of(draw) if draw.random() < 0.5 else None
                if wanted and (stores.of_engine(wanted) is None or stores.ours(wanted) != stores.of_engine(wanted)):
                    continue  # what an index of the engine changes about a filter is not what is asked here
                chosen = for_edge(wanted) if wanted else None
                limit = draw.choice([1, 3, 1000])
                if kind in ("keyword", "integer", "uuid", "bool"):
                    theirs = stores.engine.facet(edge.FacetRequest(field, limit=limit, exact=True, filter=chosen)).hits
                    ours = stores.call("POST", "/facet", {"key": field, "limit": limit, "filter": wanted})["hits"]
                    assert [(str(hit.value).lower(), hit.count) for hit in theirs] == [(str(hit["value"]).lower(), hit["count"]) for hit in ours], (kind, field, wanted)
                if kind in ("integer", "float", "datetime"):
                    direction = draw.choice(["asc", "desc"])
                    start = draw.choice([None, "2024-02-01T00:00:00Z" if kind == "datetime" else 1])
                    theirs = stores.engine.scroll(edge.ScrollRequest(limit=1000, filter=chosen, order_by=edge.OrderBy(
                        field, edge.Direction.Asc if direction == "asc" else edge.Direction.Desc, start)))[0]
                    order = {"key": field, "direction": direction, **({"start_from": start} if start is not None else {})}
                    ours = stores.call("POST", "/points/scroll", {"limit": 1000, "filter": wanted, "order_by": order})["points"]
                    assert [point.order_value for point in theirs] == [point["order_value"] for point in ours], (kind, field, wanted)
                    assert sorted((point.order_value, point.id) for point in theirs) == sorted((point["order_value"], point["id"]) for point in ours)
            stores.call("DELETE", "/index/" + urllib.parse.quote(field), None)
            stores.engine.update(edge.UpdateOperation.delete_field_index(field))
    for field in ("k", "i", "m", "u", "n[].a"):
        for size in (1, 2, 50):
            wanted = filter_of(draw)
            target = vector(draw)
            theirs = stores.memory.query_points_groups("c", field, query=target, limit=5, group_size=size, query_filter=models.Filter(**wanted)).groups
            ours = stores.call("POST", "/points/query/groups", {"query": target, "group_by": field, "limit": 5, "group_size": size, "filter": wanted})["groups"]
            assert [(group.id, [hit.id for hit in group.hits]) for group in theirs] == [(group["id"], [hit["id"] for hit in group["hits"]]) for group in ours], (field, wanted)


@pytest.mark.parametrize("parameters", [
    {}, {"lowercase": False}, {"tokenizer": "whitespace"}, {"tokenizer": "prefix"}, {"tokenizer": "prefix", "min_token_len": 2, "max_token_len": 4},
    {"min_token_len": 3, "max_token_len": 5}, {"stopwords": "english"}, {"stopwords": {"languages": ["spanish"], "custom": ["red"]}},
    {"ascii_folding": True}, {"stemmer": {"type": "snowball", "language": "english"}}, {"phrase_matching": True, "stopwords": "english"}], ids=json.dumps)
def test_a_text_index_cuts_words_as_the_engine_does(indexer, tmp_path, parameters):
    draw = random.Random(SEED)
    vocabulary = ["red", "Red", "running", "runs", "ran", "the", "of", "Über", "crème", "cream", "la", "botella", "steel-bottle", "x_1", "3.5", "it's", "a", "wonderful"]
    texts = [draw.choice([" ", ", ", "-"]).join(draw.choices(vocabulary, k=draw.randrange(1, 5))) for _ in range(200)]
    engine = edge.EdgeShard.create(str(tmp_path), edge.EdgeConfig(vectors=edge.EdgeVectorParams(size=1, distance=edge.Distance.Dot)))
    engine.update(edge.UpdateOperation.upsert_points([edge.Point(number, [1.0], {"t": text}) for number, text in enumerate(texts)]))
    given = dict(parameters)
    if "tokenizer" in given:
        given["tokenizer"] = getattr(edge.TokenizerType, given["tokenizer"].capitalize())
    if given.get("stopwords") == "english":
        given["stopwords"] = edge.Language.English
    elif "stopwords" in given:
        given["stopwords"] = edge.StopwordsSet(languages={edge.Language.Spanish}, custom={"red"})
    if "stemmer" in given:
        given["stemmer"] = edge.SnowballParams(edge.SnowballLanguage.English)
    engine.update(edge.UpdateOperation.create_field_index("t", edge.TextIndexParams(**given)))
    stores = Stores.__new__(Stores)
    stores.wire = Wire(indexer.url)
    stores.call("PUT", "", {"vectors": {"size": 1, "distance": "Dot"}})
    stores.call("PUT", "/points?wait=true", {"points": [{"id": number, "vector": [1.0], "payload": {"t": text}} for number, text in enumerate(texts)]})
    stores.call("PUT", "/index?wait=true", {"field_name": "t", "field_schema": {"type": "text", **parameters}})
    kinds = {"text": edge.MatchText, "text_any": edge.MatchTextAny, **({"phrase": edge.MatchPhrase} if parameters.get("phrase_matching") else {})}
    for kind, match in kinds.items():
        for query in vocabulary + ["run", "runn", "wond", "uber", "creme", "the of", "red running", "RED of", "botella la", "steel bottle", "3", "", "wonderfully"]:
            theirs = [point.id for point in engine.scroll(edge.ScrollRequest(limit=1000, filter=edge.Filter(must=[edge.FieldCondition("t", match=match(query))])))[0]]
            ours = [point["id"] for point in stores.call("POST", "/points/scroll", {"limit": 1000, "filter": {"must": [{"key": "t", "match": {kind: query}}]}})["points"]]
            assert theirs == ours, (kind, query, [texts[number] for number in set(theirs) ^ set(ours)][:3])


def test_payload_selectors_show_the_same(stores):
    draw = random.Random(SEED + 3)
    paths = ["k", "l.a", "l.b", "n", "n[]", "n[].a", "n[0].b", "n.a", "k[].b", "m.a.b", "d", "g.lat", "missing"]
    for _ in range(60):
        keys = draw.sample(paths, draw.randrange(1, 4))
        for kind in ("include", "exclude"):
            theirs = stores.engine.scroll(edge.ScrollRequest(limit=COUNT, with_payload=getattr(edge.PayloadSelector, kind.capitalize())(keys)))[0]
            ours = stores.call("POST", "/points/scroll", {"limit": COUNT, "with_payload": {kind: keys}})["points"]
            assert [point.payload for point in theirs] == [point["payload"] for point in ours], (kind, keys)


def test_deep_filters_are_answered_or_refused_and_harm_nothing(stores):
    def wrapped(depth, inner, wrap):
        for _ in range(depth):
            inner = wrap(inner)
        return inner
    leaf = {"must": [{"key": "a", "is_empty": True}]}
    layers = {"must": lambda inner: {"must": [inner]}, "should": lambda inner: {"should": inner}, "min_should": lambda inner: {"min_should": {"conditions": [inner], "min_count": 1}},
              "nested": lambda inner: {"must": [{"nested": {"key": "n", "filter": inner}}]}}
    for name, wrap in layers.items():
        for depth in (5, 12, 100, 5000):
            path, body = "/points/count", json.dumps({"filter": wrapped(depth, "LEAF", wrap)} if depth < 500 else {"filter": "LEAF"})
            if depth > 500:
                before, after = json.dumps(wrap("LEAF")).split('"LEAF"')
                body = body.replace('"LEAF"', before * depth + '"LEAF"' + after * depth)
            answer = stores.wire.send("POST", "/collections/c" + path, body.replace('"LEAF"', json.dumps(leaf)).encode())
            assert answer.ok == (depth < 100), (name, depth, answer.text)
            if depth >= 100:
                assert 400 <= answer.status < 500 and "nested deeper" in answer.error, answer.text
    assert stores.ours(leaf) == stores.of_memory(leaf)
