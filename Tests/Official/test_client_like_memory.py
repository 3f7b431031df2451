"""Qdrant's client against the indexer and against its own `:memory:` mode: the same calls have the same results."""
import itertools
import math
import random
import uuid

import pytest
from indexer_process import running_indexer
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

COUNT = 200
VECTORS = {"text": models.VectorParams(size=10, distance=models.Distance.COSINE),
           "image": models.VectorParams(size=6, distance=models.Distance.DOT),
           "code": models.VectorParams(size=8, distance=models.Distance.EUCLID),
           "sound": models.VectorParams(size=4, distance=models.Distance.MANHATTAN)}
SPARSE = {"words": models.SparseVectorParams(), "rare": models.SparseVectorParams(modifier=models.Modifier.IDF)}


def dense(draw, size):
    return [round(draw.uniform(-1, 1), 4) for _ in range(size)]


def sparse(draw):
    indices = draw.sample(range(40), 6)
    return models.SparseVector(indices=indices, values=[round(draw.uniform(0.1, 2), 3) for _ in indices])


def payload(draw, number):
    return {"n": number, "price": round(draw.uniform(0, 100), 2), "city": draw.choice(["Berlin", "London", "Moscow", None]),
            "tags": draw.sample(["new", "old", "red", "blue"], draw.randrange(4)), "sold": draw.random() < 0.3,
            "when": f"2024-0{draw.randrange(1, 10)}-1{draw.randrange(10)}T00:00:00Z",
            "box": {"side": draw.randrange(5), "items": [{"kind": draw.choice("abc"), "pieces": draw.randrange(4)} for _ in range(draw.randrange(3))]},
            "place": {"lon": draw.uniform(-20, 20), "lat": draw.uniform(30, 60)}}


def points(draw, ids):
    return [models.PointStruct(
        id=id, payload=payload(draw, number),
        vector={**{name: dense(draw, parameters.size) for name, parameters in VECTORS.items() if draw.random() < 0.95},
                **{name: sparse(draw) for name in SPARSE if draw.random() < 0.9}})
        for number, id in enumerate(ids)]


@pytest.fixture(scope="module")
def remote():
    with running_indexer() as process:
        client = process.client()
        yield client
        client.close()


class Both:
    def __init__(self, *clients):
        self.clients = clients

    def do(self, call):
        return [call(client) for client in self.clients]

    def same(self, call):
        ours, theirs = map(plain, self.do(call))
        assert_alike(ours, theirs)
        return ours

    def same_content(self, collection="c"):
        self.same(lambda client: client.scroll(collection, limit=10000, with_vectors=True)[0])
        self.same(lambda client: client.count(collection).count)


def plain(result):
    """Without versions; sparse vectors by dimension."""
    if isinstance(result, models.ScoredPoint):
        return {"id": result.id, "score": result.score, "payload": result.payload, "vector": plain(result.vector)}
    if isinstance(result, models.Record):
        return {"id": result.id, "payload": result.payload, "vector": plain(result.vector)}
    if isinstance(result, models.SparseVector):
        return dict(sorted(zip(result.indices, result.values)))
    if isinstance(result, dict):
        return {name: plain(value) for name, value in result.items()}
    if isinstance(result, (list, tuple)):
        return [plain(item) for item in result]
    return plain(result.points) if hasattr(result, "points") else result


def close(one, other):
    return one == pytest.approx(other, rel=1e-4, abs=1e-4)


def assert_alike(ours, theirs, path="result"):
    assert type(ours) is type(theirs) or isinstance(ours, (int, float)) and isinstance(theirs, (int, float)), f"{path}: {ours} {theirs}"
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), f"{path}: {ours} {theirs}"
        for name in ours:
            assert_alike(ours[name], theirs[name], f"{path}.{name}")
    elif isinstance(ours, list):
        assert len(ours) == len(theirs), f"{path}: {len(ours)} {len(theirs)}: {str(ours)[:500]} {str(theirs)[:500]}"
        if ours and isinstance(ours[0], dict) and "score" in ours[0]:
            return assert_alike_scored(ours, theirs, path)
        for index, (one, other) in enumerate(zip(ours, theirs)):
            assert_alike(one, other, f"{path}[{index}]")
    elif isinstance(ours, float) or isinstance(theirs, float):
        assert close(ours, theirs), f"{path}: {ours} {theirs}"
    else:
        assert ours == theirs, f"{path}: {ours} {theirs}"


def assert_alike_scored(ours, theirs, path):
    """Points whose scores tie may stand in any order, and at the ends of a page be others."""
    for one, other in zip(ours, theirs):
        assert close(one["score"], other["score"]), f"{path}: {[point['score'] for point in ours]} {[point['score'] for point in theirs]}"
    found = {point["id"]: point for point in theirs}
    for point in ours:
        if point["id"] in found:
            assert_alike(point, found[point["id"]], f"{path}.{point['id']}")
        else:
            assert close(point["score"], ours[0]["score"]) or close(point["score"], ours[-1]["score"]), f"{path}: {point['id']} only in ours"


@pytest.fixture
def both(remote):
    local = QdrantClient(":memory:")
    both = Both(remote, local)
    for client in both.clients:
        client.create_collection("c", vectors_config=VECTORS, sparse_vectors_config=SPARSE)
    yield both
    for collection in remote.get_collections().collections:
        remote.delete_collection(collection.name)


@pytest.fixture
def filled(both):
    content = points(random.Random(1), range(COUNT))
    both.do(lambda client: client.upload_points("c", content, wait=True))
    for field, schema in {"price": "float", "n": "integer", "city": "keyword", "tags": "keyword", "sold": "bool", "when": "datetime", "box.side": "integer"}.items():
        both.clients[0].create_payload_index("c", field, schema)
    return both


def test_collections(both):
    info, local = both.do(lambda client: client.get_collection("c"))
    assert info.config.params.vectors == local.config.params.vectors
    assert info.config.params.sparse_vectors == local.config.params.sparse_vectors
    assert info.points_count == 0 and info.status == models.CollectionStatus.GREEN
    both.same(lambda client: [client.collection_exists(name) for name in ("c", "d")])
    both.same(lambda client: [collection.name for collection in client.get_collections().collections])
    both.do(lambda client: client.create_collection("d", vectors_config=models.VectorParams(size=3, distance=models.Distance.DOT)))
    both.same(lambda client: sorted(collection.name for collection in client.get_collections().collections))
    both.same(lambda client: client.delete_collection("d"))
    actions = [models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name="c", alias_name=name)) for name in "xyz"]
    both.same(lambda client: client.update_collection_aliases(actions))
    both.same(lambda client: client.update_collection_aliases([
        models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name="x")),
        models.RenameAliasOperation(rename_alias=models.RenameAlias(old_alias_name="y", new_alias_name="w"))]))
    both.same(lambda client: sorted((alias.alias_name, alias.collection_name) for alias in client.get_aliases().aliases))
    both.same(lambda client: sorted(alias.alias_name for alias in client.get_collection_aliases("c").aliases))
    both.same(lambda client: client.count("w").count)


def test_every_way_to_upload(both):
    draw = random.Random(2)
    content = points(draw, range(70))
    both.do(lambda client: client.upload_points("c", content[:30], batch_size=7, wait=True))
    both.do(lambda client: client.upsert("c", content[30:40]))
    names = {name: [dense(draw, parameters.size) for _ in range(20)] for name, parameters in VECTORS.items()}
    ids = [str(uuid.UUID(int=draw.getrandbits(128))) for _ in range(20)]
    both.do(lambda client: client.upsert("c", models.Batch(ids=ids, vectors=names, payloads=[{"row": n} for n in range(20)])))
    both.do(lambda client: client.upload_collection(
        "c", vectors=[point.vector for point in content[40:]], payload=itertools.cycle([{"a": 1}, {"b": 2}]), ids=itertools.count(1000), wait=True))
    both.same_content()
    both.do(lambda client: client.upsert("c", [models.PointStruct(id=3, vector={}, payload={"new": True})]))
    both.same(lambda client: client.retrieve("c", [3, ids[0], 4711], with_vectors=True))
    before = both.clients[0].scroll("c", limit=1000, with_vectors=True)
    for content in [[models.PointStruct(id=1, vector={"text": [1.0]})], [models.PointStruct(id=1, vector={"no": [1.0]})], [models.PointStruct(id=1, vector=[1.0])],
                    [models.PointStruct(id=1, vector={"no": models.SparseVector(indices=[1], values=[1])})],
                    models.Batch(ids=[2], vectors={"no": [[0.1]]}), [models.PointStruct(id=1, vector={"text": [math.nan] * 10})]]:
        with pytest.raises((UnexpectedResponse, ValueError)):
            both.clients[0].upsert("c", content)
    assert both.clients[0].scroll("c", limit=1000, with_vectors=True) == before


def test_one_vector_without_a_name(both):
    draw = random.Random(3)
    both.do(lambda client: client.create_collection("d", vectors_config=models.VectorParams(size=5, distance=models.Distance.EUCLID)))
    vectors = [dense(draw, 5) for _ in range(50)]
    both.do(lambda client: client.upload_collection("d", vectors=vectors, ids=range(50), wait=True))
    both.same_content("d")
    both.same(lambda client: client.query_points("d", query=vectors[3], limit=7, with_vectors=True))
    both.same(lambda client: client.query_points("d", query=5, limit=7))


def test_payloads_and_vectors_change_alike(filled):
    some = models.Filter(must=[models.FieldCondition(key="city", match=models.MatchValue(value="Berlin"))])
    filled.do(lambda client: client.set_payload("c", {"a": {"b": 1}}, points=[1, 2, 3]))
    filled.do(lambda client: client.set_payload("c", {"c": [1]}, points=[2], key="a"))
    filled.do(lambda client: client.set_payload("c", {"pieces": 99}, points=some, key="box.items[]"))
    filled.do(lambda client: client.set_payload("c", {"pieces": 98}, points=[5, 6, 7, 8], key="box.items[0]"))
    filled.do(lambda client: client.set_payload("c", {"q": 1}, points=[5], key="new.deep[0].x"))
    filled.do(lambda client: client.overwrite_payload("c", {"city": "Rome"}, points=[9]))
    filled.do(lambda client: client.delete_payload("c", keys=["price", "box.side"], points=some))
    filled.do(lambda client: client.clear_payload("c", points_selector=[10, 11]))
    filled.same_content()
    draw = random.Random(4)
    filled.do(lambda client: client.delete_vectors("c", vectors=["text", "words"], points=some))
    update = [models.PointVectors(id=id, vector={"text": dense(draw, 10), "rare": sparse(draw)}) for id in range(20)]
    filled.do(lambda client: client.update_vectors("c", points=update))
    filled.same_content()
    filled.do(lambda client: client.batch_update_points("c", update_operations=[
        models.UpsertOperation(upsert=models.PointsList(points=points(random.Random(5), [300, 301]))),
        models.DeleteOperation(delete=models.PointIdsList(points=[300, 0])),
        models.SetPayloadOperation(set_payload=models.SetPayload(payload={"z": 1}, points=[301, 5])),
        models.DeletePayloadOperation(delete_payload=models.DeletePayload(keys=["n"], points=[301])),
        models.ClearPayloadOperation(clear_payload=models.PointIdsList(points=[12])),
        models.UpdateVectorsOperation(update_vectors=models.UpdateVectors(points=[models.PointVectors(id=13, vector={"sound": [1, 2, 3, 4]})])),
        models.DeleteVectorsOperation(delete_vectors=models.DeleteVectors(points=[14], vector=["sound"]))]))
    filled.same_content()
    filled.do(lambda client: client.delete("c", points_selector=models.FilterSelector(filter=some)))
    filled.do(lambda client: client.delete("c", points_selector=[100, 101, 4711]))
    filled.same_content()


def field(key, **condition):
    return models.FieldCondition(key=key, **condition)


FILTERS = [
    models.Filter(must=[field("city", match=models.MatchValue(value="London"))]),
    models.Filter(must=[field("tags", match=models.MatchAny(any=["red", "old"]))], must_not=[field("sold", match=models.MatchValue(value=True))]),
    models.Filter(must=[field("city", match=models.MatchExcept(**{"except": ["Berlin", "London"]}))]),
    models.Filter(should=[field("price", range=models.Range(gte=90)), field("n", range=models.Range(lt=20))]),
    models.Filter(must=[field("when", range=models.DatetimeRange(gte="2024-03-01T00:00:00Z", lt="2024-06-01T00:00:00Z"))]),
    models.Filter(must=[models.IsNullCondition(is_null=models.PayloadField(key="city"))]),
    models.Filter(must=[models.IsEmptyCondition(is_empty=models.PayloadField(key="tags"))]),
    models.Filter(must_not=[models.HasIdCondition(has_id=list(range(0, COUNT, 2)))]),
    models.Filter(must=[models.HasVectorCondition(has_vector="text")], must_not=[models.HasVectorCondition(has_vector="rare")]),
    models.Filter(must=[field("tags", values_count=models.ValuesCount(gte=2))]),
    models.Filter(must=[models.NestedCondition(nested=models.Nested(key="box.items", filter=models.Filter(must=[
        field("kind", match=models.MatchValue(value="a")), field("pieces", range=models.Range(gte=2))])))]),
    models.Filter(min_should=models.MinShould(min_count=2, conditions=[
        field("city", match=models.MatchValue(value="Moscow")), field("sold", match=models.MatchValue(value=False)), field("price", range=models.Range(lt=30))])),
    models.Filter(must=[field("place", geo_radius=models.GeoRadius(center=models.GeoPoint(lon=0, lat=45), radius=900000))]),
    models.Filter(must=[field("place", geo_bounding_box=models.GeoBoundingBox(
        top_left=models.GeoPoint(lon=-10, lat=55), bottom_right=models.GeoPoint(lon=10, lat=35)))]),
    models.Filter(must=[models.Filter(should=[field("box.side", match=models.MatchValue(value=1)), field("box.items[].kind", match=models.MatchValue(value="b"))])]),
]


@pytest.mark.parametrize("wanted", FILTERS, ids=range(len(FILTERS)))
def test_filters(filled, wanted):
    found = filled.same(lambda client: client.scroll("c", scroll_filter=wanted, limit=COUNT))[0]
    assert 0 < len(found) < COUNT
    filled.same(lambda client: client.count("c", count_filter=wanted).count)
    filled.same(lambda client: client.query_points("c", query=dense(random.Random(6), 10), using="text", query_filter=wanted, limit=20, with_payload=["n"]))


def test_pages_and_orders(filled):
    for limit, selection in [(7, True), (50, ["n", "box.side"]), (1, models.PayloadSelectorExclude(exclude=["box.items", "tags"])), (3, False)]:
        offset = None
        for _ in range(4):
            page = filled.same(lambda client: client.scroll("c", limit=limit, offset=offset, with_payload=selection, with_vectors=["text", "words"]))
            offset = page[1]
    for order in ["price", "n", models.OrderBy(key="price", direction="desc"), models.OrderBy(key="n", direction="desc", start_from=50),
                  models.OrderBy(key="when", start_from="2024-05-05T00:00:00Z"), models.OrderBy(key="box.side", direction="asc")]:
        ids = [[(point.id, point.payload) for point in client.scroll("c", order_by=order, limit=COUNT)[0]] for client in filled.clients]
        assert sorted(ids[0], key=lambda item: item[0]) == sorted(ids[1], key=lambda item: item[0])
        if order in ("price", "n"):
            assert ids[0] == ids[1]


def test_queries(filled):
    draw = random.Random(7)
    for name, parameters in VECTORS.items():
        target = dense(draw, parameters.size)
        ask = lambda client, **options: client.query_points("c", using=name, **{"query": target, "limit": 10, **options})
        for options in [{}, {"limit": COUNT}, {"offset": 5}, {"with_payload": True, "with_vectors": [name]}, {"query_filter": FILTERS[0]}, {"query": 17},
                        {"search_params": models.SearchParams(exact=True)}, {"score_threshold": 0.5 if name in ("text", "image") else 2.0}]:
            filled.same(lambda client: ask(client, **options))
    for name in SPARSE:
        target = sparse(draw)
        for options in [{}, {"query_filter": FILTERS[1]}, {"limit": 100, "score_threshold": 1.0}, {"offset": 3, "with_vectors": True}]:
            filled.same(lambda client: client.query_points("c", query=target, using=name, **options))
    filled.same(lambda client: client.query_points("c", limit=15, offset=10, with_payload=True))
    filled.same(lambda client: client.query_points("c", query=models.OrderByQuery(order_by="price"), limit=10))
    filled.same(lambda client: client.query_batch_points("c", requests=[
        models.QueryRequest(query=dense(random.Random(8), 10), using="text", limit=4), models.QueryRequest(query=sparse(random.Random(8)), using="words", limit=4),
        models.QueryRequest(limit=3, filter=FILTERS[3])]))
    known = [point.id for point in filled.clients[0].scroll("c", scroll_filter=models.Filter(must=[models.HasVectorCondition(has_vector="text")]))[0]]
    for options in [{"using": "text", "query": models.RecommendQuery(recommend=models.RecommendInput(positive=known[:2], negative=known[2:3]))},
                    {"using": "words", "query": models.RecommendQuery(recommend=models.RecommendInput(positive=[sparse(random.Random(9))]))}]:
        filled.same(lambda client: client.query_points("c", **options))
    for options in [{}, {"offset": 10}]:
        both = filled.do(lambda client: {point.id for point in client.query_points("c", query=models.SampleQuery(sample="random"), limit=COUNT, **options).points})
        assert both[0] == both[1]
    alone = models.Filter(must=[models.HasIdCondition(has_id=known[:1])])
    filled.same(lambda client: client.search_matrix_offsets("c", query_filter=alone, using="text").model_dump())


def test_queries_by_examples(filled):
    pair = lambda positive, negative: models.ContextPair(positive=positive, negative=negative)
    for name in [*VECTORS, "words"]:
        known = [point.id for point in filled.clients[0].scroll("c", limit=COUNT, scroll_filter=models.Filter(must=[models.HasVectorCondition(has_vector=name)]))[0]]
        raw = sparse(random.Random(12)) if name == "words" else dense(random.Random(12), VECTORS[name].size)
        recommend = lambda strategy, positive, negative: models.RecommendQuery(recommend=models.RecommendInput(
            positive=positive, negative=negative, strategy=strategy))
        for query in [recommend("best_score", known[:3], known[5:7]), recommend("best_score", [], known[:2]), recommend("sum_scores", [known[0], raw], known[3:4]),
                      recommend("average_vector", [known[0], raw], known[3:4]), models.DiscoverQuery(discover=models.DiscoverInput(target=known[0], context=[pair(known[1], known[2])])),
                      models.DiscoverQuery(discover=models.DiscoverInput(target=raw, context=[pair(known[1], raw), pair(known[4], known[5])])),
                      models.NearestQuery(nearest=raw, mmr=models.Mmr(diversity=0.3, candidates_limit=30))]:
            for options in [{"limit": 12}, {"limit": 5, "offset": 4, "query_filter": FILTERS[3], "with_payload": ["n"]}]:
                filled.same(lambda client: client.query_points("c", query=query, using=name, **options))
        context = models.ContextQuery(context=[pair(known[0], known[1]), pair(known[2], known[3])])
        filled.same(lambda client: client.query_points("c", query=context, using=name, limit=COUNT))


def test_hybrid_queries(filled):
    draw = random.Random(10)
    text, words, image = dense(draw, 10), sparse(draw), dense(draw, 6)
    lists = [models.Prefetch(query=text, using="text", limit=30), models.Prefetch(query=words, using="rare", limit=30, filter=FILTERS[3])]
    for query in [models.FusionQuery(fusion=models.Fusion.RRF), models.FusionQuery(fusion=models.Fusion.DBSF), models.RrfQuery(rrf=models.Rrf(k=20)),
                  models.RrfQuery(rrf=models.Rrf(weights=[2.0, 1.0]))]:
        for options in [{"limit": 20}, {"limit": 5, "offset": 5}, {"limit": 20, "query_filter": FILTERS[3]}]:
            filled.same(lambda client: client.query_points("c", prefetch=lists, query=query, **options))
    filled.same(lambda client: client.query_points("c", prefetch=lists, query=image, using="image", limit=10))
    filled.same(lambda client: client.query_points("c", prefetch=models.Prefetch(
        prefetch=lists, query=models.FusionQuery(fusion=models.Fusion.RRF), limit=15), query=image, using="image", with_payload=["n"]))
    filled.same(lambda client: client.query_points("c", prefetch=lists[0], query=models.OrderByQuery(order_by=models.OrderBy(key="price", direction="desc"))))


def test_groups(filled):
    target = dense(random.Random(11), 10)
    for key, size in [("city", 3), ("box.side", 2), ("tags", 1)]:
        groups = filled.do(lambda client: client.query_points_groups("c", query=target, using="text", group_by=key, group_size=size, limit=3).groups)
        best = [[[hit.score for hit in group.hits] for group in found] for found in groups]
        assert_alike(best[0], best[1])
        assert {group.id for group in groups[0]} == {group.id for group in groups[1]}
    full = filled.do(lambda client: client.query_points_groups(
        "c", prefetch=models.Prefetch(query=target, using="text", limit=20), query=target, using="text", group_by="city", group_size=20, limit=3).groups)
    assert_alike(*[[[hit.score for hit in group.hits] for group in found] for found in full])
    authors = [models.PointStruct(id=id, vector={}, payload={"name": f"side {id}"}) for id in range(5)]
    filled.do(lambda client: client.create_collection("sides", vectors_config={}))
    filled.do(lambda client: client.upsert("sides", authors))
    filled.same(lambda client: sorted((group.id, group.lookup.payload["name"]) for group in client.query_points_groups(
        "c", query=target, using="text", group_by="box.side", limit=5, with_lookup="sides").groups))


def test_facets(filled):
    for key, options in [("city", {}), ("tags", {"limit": 2}), ("sold", {}), ("n", {"limit": 5}), ("city", {"facet_filter": FILTERS[3]})]:
        hits = filled.do(lambda client: [(hit.value, hit.count) for hit in client.facet("c", key=key, exact=True, **options).hits])
        assert hits[0] == hits[1] or key == "n" and len(hits[0]) == 5


def test_migration_both_ways(filled, remote):
    other = QdrantClient(":memory:")
    remote.migrate(other, collection_names=["c"])
    Both(remote, other).same_content()
    remote.delete_collection("c")
    other.migrate(remote, collection_names=["c"])
    Both(remote, other).same_content()
    info, local = remote.get_collection("c"), other.get_collection("c")
    assert info.config.params.vectors == local.config.params.vectors and info.config.params.sparse_vectors == local.config.params.sparse_vectors
