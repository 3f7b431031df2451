"""Random searches with filters: the same ids and scores as Qdrant's own engine (qdrant-edge-py) gives."""
import random

import pytest
import qdrant_edge as edge
from indexer_process import folder, indexer  # noqa: F401 (fixtures)
from test_filters import SEED, Stores, filter_of, for_edge, vector


@pytest.mark.parametrize("distance", ["Cosine", "Dot", "Euclid", "Manhattan"])
def test_searches_give_the_same_points_and_scores(indexer, tmp_path, distance):
    stores = Stores(indexer, tmp_path, distance)
    draw = random.Random(SEED + 2)
    for _ in range(100):
        target, wanted = vector(draw), filter_of(draw) if draw.random() < 0.5 else None
        if wanted and stores.of_engine(wanted) is None:
            continue
        options = {"limit": draw.randrange(1, 30), "offset": draw.randrange(5)}
        if draw.random() < 0.5:
            options["score_threshold"] = draw.choice([0.2, 2.0, 5.0])
        theirs = stores.engine.query(edge.QueryRequest(
            query=edge.Query.Nearest(target), filter=for_edge(wanted) if wanted else None, **options))
        ours = stores.call("POST", "/points/query", {"query": target, "filter": wanted, **options})["points"]
        assert [point.id for point in theirs] == [point["id"] for point in ours]
        assert [point.score for point in theirs] == pytest.approx([point["score"] for point in ours], rel=1e-4, abs=1e-5)
