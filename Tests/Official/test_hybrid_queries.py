"""Dense and sparse vectors, prefetches and fusions: the indexer must find what the client's own in-memory engine finds."""
import random

import pytest
from indexer_process import client, folder, indexer  # noqa: F401 (fixtures)
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

DENSE = {"text": (8, models.Distance.COSINE), "image": (5, models.Distance.DOT), "code": (6, models.Distance.EUCLID),
         "sound": (4, models.Distance.MANHATTAN)}
SPARSE = {"lexical": models.Modifier.IDF, "plain": models.Modifier.NONE}
QUERIES = 100  # of each seed


def numbers(draw, size):
    return [draw.uniform(0.05, 1) for _ in range(size)]


def sparse(draw, most=12):
    indices = sorted(draw.sample(range(60), draw.randint(1, most)))
    return models.SparseVector(indices=indices, values=numbers(draw, len(indices)))


def vectors(draw):
    every = {name: numbers(draw, size) for name, (size, _) in DENSE.items()} | {name: sparse(draw) for name in SPARSE}
    return {name: value for name, value in every.items() if draw.random() < 0.85}


def payload(draw, number):
    return {"n": number, "price": round(draw.uniform(0, 100), 3), "colour": draw.choice(["red", "green", "blue"]),
            "place": {"lon": draw.uniform(-170, 170), "lat": draw.uniform(-80, 80)}, "day": f"2024-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}T10:00:00Z",
            "sizes": numbers(draw, draw.choice([1, 1, 2]))}


@pytest.fixture
def both(client):
    local = QdrantClient(":memory:")
    for one in (local, client):
        one.create_collection(
            "c", vectors_config={name: models.VectorParams(size=size, distance=distance) for name, (size, distance) in DENSE.items()},
            sparse_vectors_config={name: models.SparseVectorParams(modifier=modifier) for name, modifier in SPARSE.items()})
        one.create_payload_index("c", "price", models.PayloadSchemaType.FLOAT)
    return local, client


def fill(both, draw, count=300):
    points = [models.PointStruct(id=number, vector=vectors(draw), payload=payload(draw, number)) for number in range(count)]
    changed = [models.PointVectors(id=number, vector=vectors(draw) or {"text": numbers(draw, 8)}) for number in draw.sample(range(count), count // 5)]
    for one in both:
        one.upsert("c", points, wait=True)
        one.update_vectors("c", changed, wait=True)
        one.delete_vectors("c", ["lexical", "text"], points=list(range(20, 50)), wait=True)
        one.delete("c", list(range(50, 80)), wait=True)
        one.upsert("c", points[60:70], wait=True)


def some_filter(draw):
    if draw.random() < 0.6:
        return None
    condition = draw.choice([
        models.FieldCondition(key="colour", match=models.MatchValue(value="red")),
        models.FieldCondition(key="price", range=models.Range(lt=60)),
        models.HasVectorCondition(has_vector="lexical"), models.HasVectorCondition(has_vector="text"),
    ])
    return draw.choice([models.Filter(must=[condition]), models.Filter(must_not=[condition]), models.Filter(should=[condition])])


def holders(both, name):
    found, _ = both[0].scroll("c", limit=1000, scroll_filter=models.Filter(must=[models.HasVectorCondition(has_vector=name)]))
    return [point.id for point in found]


def nearest(draw, ids):
    name = draw.choice([*DENSE, *SPARSE])
    if draw.random() < 0.2:
        return draw.choice(ids[name]), name
    return (numbers(draw, DENSE[name][0]) if name in DENSE else sparse(draw)), name


def by_examples(draw, ids, name, kinds):
    """A query by several vectors."""
    def example():
        return draw.choice(ids[name]) if draw.random() < 0.5 else (numbers(draw, DENSE[name][0]) if name in DENSE else sparse(draw))

    def examples(least):
        return [example() for _ in range(draw.randint(least, 3))]

    def pairs():
        return [models.ContextPair(positive=example(), negative=example()) for _ in range(draw.randint(1, 3))]
    kind = draw.choice(kinds)
    if kind == "feedback":
        return models.RelevanceFeedbackQuery(relevance_feedback=models.RelevanceFeedbackInput(
            target=example(), feedback=[models.FeedbackItem(example=example(), score=draw.uniform(-1, 1)) for _ in range(draw.randint(0, 3))],
            strategy=models.NaiveFeedbackStrategy(naive=models.NaiveFeedbackStrategyParams(a=0.6, b=draw.choice([0, 1, 0.5]), c=0.3))))
    if kind == "discover":
        return models.DiscoverQuery(discover=models.DiscoverInput(target=example(), context=pairs()))
    if kind == "context":
        return models.ContextQuery(context=pairs())
    if kind == "mmr":
        return models.NearestQuery(nearest=example(), mmr=models.Mmr(diversity=draw.choice([None, 0, 0.3, 1]), candidates_limit=draw.choice([5, 20])))
    strategy = {"recommend": None, "best": models.RecommendStrategy.BEST_SCORE, "sum": models.RecommendStrategy.SUM_SCORES}[kind]
    return models.RecommendQuery(recommend=models.RecommendInput(positive=examples(1), negative=examples(0), strategy=strategy))


def expression(draw, depth=3):
    """Of a formula; some have no value for some points."""
    if depth == 0 or draw.random() < 0.2:
        return draw.choice([
            draw.uniform(-2, 3), "$score", "$score[1]", "price", "n", "missing", "sizes",
            models.FieldCondition(key="colour", match=models.MatchValue(value="red")), models.HasIdCondition(has_id=list(range(100))),
            models.DatetimeKeyExpression(datetime_key="day"), models.DatetimeExpression(datetime="2024-06-01T00:00:00Z"),
            models.GeoDistance(geo_distance=models.GeoDistanceParams(origin=models.GeoPoint(lon=13.4, lat=52.5), to="place"))])

    def inner():
        return expression(draw, depth - 1)
    decay = models.DecayParamsExpression(x=inner(), target=draw.choice([None, inner()]), scale=draw.choice([None, 0.5, 30]), midpoint=draw.choice([None, 0.2]))
    return draw.choice([
        models.MultExpression(mult=[inner(), inner()]), models.SumExpression(sum=[inner(), inner(), inner()]), models.NegExpression(neg=inner()),
        models.AbsExpression(abs=inner()), models.SqrtExpression(sqrt=models.AbsExpression(abs=inner())), models.LnExpression(ln=models.AbsExpression(abs=inner())),
        models.Log10Expression(log10=models.SumExpression(sum=[1, models.AbsExpression(abs=inner())])), models.MaxExpression(max=[inner(), inner()]),
        models.MinExpression(min=[inner(), inner()]), models.PowExpression(pow=models.PowParams(base=inner(), exponent=draw.choice([0.5, 2]))),
        models.DivExpression(div=models.DivParams(left=inner(), right=inner(), by_zero_default=draw.choice([None, 7]))),
        models.LinDecayExpression(lin_decay=decay), models.ExpDecayExpression(exp_decay=decay), models.GaussDecayExpression(gauss_decay=decay)])


def threshold(draw, name):
    return round(draw.uniform(0.2, 2), 3) if draw.random() < 0.15 else None


def some_prefetch(draw, ids, depth):
    query, using = nearest(draw, ids)
    if draw.random() < 0.2:
        # Where many are equals, which of them a prefetch cuts off is anybody's choice.
        query = by_examples(draw, ids, using, ("recommend", "mmr") if using in SPARSE else ("recommend", "best", "sum", "discover", "mmr"))
    inner = [some_prefetch(draw, ids, depth - 1) for _ in range(draw.randint(0, 2))] if depth else None
    return models.Prefetch(query=query, using=using, prefetch=inner or None, filter=some_filter(draw), limit=draw.choice([3, 10, 40]),
                           score_threshold=threshold(draw, using))


def some_query(draw, ids):
    """Arguments of query_points."""
    query, using = nearest(draw, ids)
    arguments = {"query": query, "using": using, "score_threshold": threshold(draw, using)}
    prefetch = [some_prefetch(draw, ids, 1) for _ in range(draw.randint(1, 3))]
    kind = draw.choice(["nearest", "nearest", "rescore", "rrf", "weighted", "dbsf", "order", "examples", "examples", "examples again", "id"])
    if kind == "rescore":
        arguments["prefetch"] = prefetch
    elif kind in ("rrf", "weighted", "dbsf"):
        fusion = {
            "rrf": models.FusionQuery(fusion=models.Fusion.RRF), "dbsf": models.FusionQuery(fusion=models.Fusion.DBSF),
            "weighted": models.RrfQuery(rrf=models.Rrf(k=draw.choice([None, 1, 60]), weights=[draw.choice([0, 0.5, 1, 3]) for _ in prefetch])),
        }[kind]
        arguments = {"query": fusion, "prefetch": prefetch}
    elif kind == "order":
        direction = draw.choice([models.Direction.ASC, models.Direction.DESC])
        arguments = {"query": models.OrderByQuery(order_by=models.OrderBy(key="price", direction=direction)), "prefetch": draw.choice([None, prefetch])}
    elif kind.startswith("examples"):
        # The client's engine has no feedback on sparse vectors.
        kinds = ("recommend", "best", "sum", "discover", "mmr", "context") + (() if using in SPARSE else ("feedback", "feedback"))
        arguments = {"query": by_examples(draw, ids, using, kinds), "using": using, "prefetch": prefetch if kind == "examples again" else None}
    elif kind == "id":
        arguments = {"query": None}
    return arguments | {"query_filter": some_filter(draw), "limit": draw.choice([1, 5, 20, 400]), "offset": draw.choice([0, 0, 3]),
                        "with_payload": True}


def same(found, expected):
    """The same scores in the same order; points of equal scores in any, and at both ends of a page any of the equals."""
    assert [point.score for point in found] == pytest.approx([point.score for point in expected], rel=1e-4, abs=1e-5)
    ends = [expected[0].score, expected[-1].score] if expected else []

    def inner(points):
        return {point.id for point in points if all(abs(point.score - end) > 1e-4 * max(1, abs(end)) for end in ends)}
    assert inner(found) == inner(expected)
    payloads = {point.id: point.payload for point in expected}
    assert all(point.payload == payloads[point.id] for point in found if point.id in payloads)


@pytest.mark.parametrize("seed", range(4))
def test_random_queries_find_what_the_client_s_engine_finds(both, seed):
    draw = random.Random(seed)
    fill(both, draw)
    local, remote = both
    ids = {name: holders(both, name) for name in [*DENSE, *SPARSE]}
    for number in range(QUERIES):
        arguments = some_query(draw, ids)
        expected, found = (one.query_points("c", **arguments).points for one in both)
        try:
            same(found, expected)
        except AssertionError as difference:
            raise AssertionError(f"seed {seed}, query {number}: {arguments}\nfound {found[:5]}\nexpected {expected[:5]}") from difference


def answer(one, arguments):
    try:
        return one.query_points("c", **arguments).points
    except (UnexpectedResponse, ValueError, OverflowError) as refusal:
        assert not isinstance(refusal, UnexpectedResponse) or refusal.status_code == 400, refusal
        return None


def test_formulas_score_what_prefetches_found(both):
    draw = random.Random(11)
    fill(both, draw)
    ids = {name: holders(both, name) for name in [*DENSE, *SPARSE]}
    compared = 0
    for number in range(2 * QUERIES):
        prefetch = []
        for _ in range(draw.randint(1, 2)):
            query, using = nearest(draw, ids)
            prefetch.append(models.Prefetch(query=query, using=using, limit=draw.choice([5, 30])))
        formula = models.FormulaQuery(formula=expression(draw), defaults=draw.choice([{}, {"missing": 0.5, "$score[1]": 0.1}]))
        arguments = {"query": formula, "prefetch": prefetch, "limit": draw.choice([3, 50]), "query_filter": some_filter(draw), "with_payload": True}
        expected, found = (answer(one, arguments) for one in both)
        assert (found is None) == (expected is None), f"query {number}: {arguments}\nfound {found}\nexpected {expected}"
        if expected is not None:
            compared += len(expected) > 0
            try:
                same(found, expected)
            except AssertionError as difference:
                raise AssertionError(f"query {number}: {arguments}\nfound {found[:5]}\nexpected {expected[:5]}") from difference
    assert compared > QUERIES / 2


def test_points_carry_the_vectors_that_they_were_given(both):
    fill(both, random.Random(7))
    local, remote = both
    expected, found = ({point.id: point for point in one.scroll("c", limit=1000, with_vectors=True)[0]} for one in both)
    assert found.keys() == expected.keys()
    for id, point in expected.items():
        assert found[id].vector.keys() == point.vector.keys()
        for name, vector in point.vector.items():
            if name in SPARSE:
                assert found[id].vector[name].indices == vector.indices
                assert found[id].vector[name].values == pytest.approx(vector.values, rel=1e-6)
            else:
                assert found[id].vector[name] == pytest.approx(vector, rel=1e-5)


def test_idf_may_be_computed_over_some_points_only(both):
    fill(both, random.Random(3))
    query = sparse(random.Random(4))
    corpus = models.Filter(must=[models.FieldCondition(key="colour", match=models.MatchValue(value="green"))])
    parameters = models.SearchParams(idf=models.IdfCorpusParams(corpus=corpus))
    expected, found = (one.query_points("c", query=query, using="lexical", search_params=parameters, limit=20, with_payload=True).points for one in both)
    same(found, expected)


def test_vectors_of_a_collection_come_and_go(both):
    fill(both, random.Random(5), count=90)
    for one in both:
        one.create_vector_name("c", "extra", models.DenseVectorNameConfig(dense=models.DenseVectorConfig(size=3, distance=models.Distance.DOT)))
        one.create_vector_name("c", "words", models.SparseVectorNameConfig(sparse=models.SparseVectorConfig(modifier=models.Modifier.IDF)))
        one.update_vectors("c", [models.PointVectors(id=1, vector={"extra": [1, 2, 3], "words": models.SparseVector(indices=[4], values=[2])})])
        one.delete_vector_name("c", "text")
        one.delete_vector_name("c", "lexical")
        info = one.get_collection("c").config.params
        assert set(info.vectors) == {"image", "code", "sound", "extra"} and set(info.sparse_vectors) == {"plain", "words"}
        assert info.sparse_vectors["words"].modifier == models.Modifier.IDF
        assert [point.id for point in one.query_points("c", query=[1, 1, 1], using="extra").points] == [1]
        assert set(one.retrieve("c", [1], with_vectors=["extra", "words"])[0].vector) == {"extra", "words"}
    with pytest.raises(UnexpectedResponse) as refusal:
        both[1].query_points("c", query=[1.0] * 8, using="text")
    assert refusal.value.status_code == 400 and b"Not existing vector name error: text" in refusal.value.content


def test_batches_are_applied_in_order_and_as_one(both):
    fill(both, random.Random(6), count=90)
    operations = [
        models.UpsertOperation(upsert=models.PointsList(points=[
            models.PointStruct(id=1000, vector={"plain": models.SparseVector(indices=[1], values=[9])}, payload={"new": True})])),
        models.SetPayloadOperation(set_payload=models.SetPayload(payload={"seen": {"by": 1}}, points=[1, 1000])),
        models.SetPayloadOperation(set_payload=models.SetPayload(payload={"at": 2}, key="seen", filter=models.Filter(must=[
            models.FieldCondition(key="seen.by", match=models.MatchValue(value=1))]))),
        models.DeletePayloadOperation(delete_payload=models.DeletePayload(keys=["seen.by"], points=[1])),
        models.DeleteVectorsOperation(delete_vectors=models.DeleteVectors(points=[2, 3], vector=["plain"])),
        models.DeleteOperation(delete=models.PointIdsList(points=[4])),
    ]
    for one in both:
        one.batch_update_points("c", operations, wait=True)
    expected, found = ([(point.id, point.payload, sorted(point.vector)) for point in one.scroll("c", limit=100, with_vectors=True)[0]] for one in both)
    assert found == expected
    bad = operations[:2] + [models.UpsertOperation(upsert=models.PointsList(points=[models.PointStruct(id=2000, vector={"text": [1.0]}, payload={})]))]
    with pytest.raises(UnexpectedResponse) as refusal:
        both[1].batch_update_points("c", [models.DeleteOperation(delete=models.PointIdsList(points=[5]))] + bad, wait=True)
    assert refusal.value.status_code == 400 and b"id 2000" in refusal.value.content
    assert both[1].retrieve("c", [5])
