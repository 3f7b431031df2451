"""The official clients against our surfaces: what Qdrant's and OpenAI's own Python packages send is understood."""
import random

import pytest
from openai import OpenAI
from qdrant_client import QdrantClient, models


@pytest.fixture
def qdrant(suite):
    client = QdrantClient(url=suite["indexer"].url, api_key=suite.internal_token, timeout=20, check_compatibility=False)
    yield client
    client.delete_collection("by_client")
    client.close()


def test_qdrant_client_stores_counts_searches_and_deletes(qdrant):
    draw = random.Random(4)
    vectors = [[draw.gauss(0, 1) for _ in range(16)] for _ in range(200)]
    qdrant.delete_collection("by_client")
    assert qdrant.create_collection(
        "by_client", vectors_config={"text": models.VectorParams(size=16, distance=models.Distance.COSINE)})
    assert qdrant.collection_exists("by_client")
    result = qdrant.upsert("by_client", wait=True, points=[
        models.PointStruct(id=number, vector={"text": vector}, payload={"colour": ["red", "blue"][number % 2], "price": number})
        for number, vector in enumerate(vectors)])
    assert result.status == models.UpdateStatus.COMPLETED
    assert qdrant.count("by_client", exact=True).count == 200
    assert qdrant.get_collection("by_client").points_count == 200

    hits = qdrant.query_points("by_client", query=vectors[17], using="text", limit=3, with_payload=True).points
    assert hits[0].id == 17 and hits[0].score > 0.99 and hits[0].payload["price"] == 17
    red = models.Filter(must=[models.FieldCondition(key="colour", match=models.MatchValue(value="red"))])
    hits = qdrant.query_points("by_client", query=vectors[17], using="text", limit=200, query_filter=red).points
    assert len(hits) == 100 and all(hit.id % 2 == 0 for hit in hits)
    cheap = models.Filter(must=[models.FieldCondition(key="price", range=models.Range(lt=10))])
    assert qdrant.count("by_client", count_filter=cheap, exact=True).count == 10

    qdrant.delete("by_client", wait=True, points_selector=models.PointIdsList(points=[17]))
    assert qdrant.query_points("by_client", query=vectors[17], using="text", limit=1).points[0].id != 17
    assert qdrant.count("by_client", exact=True).count == 199


def test_the_stub_speaks_as_openai_does(stub):
    """What our embedder is tested against is what OpenAI's own client accepts."""
    client = OpenAI(base_url=stub.url, api_key="sk-x")
    answer = client.embeddings.create(model="stub", input=["a", "b"], dimensions=8)
    assert [item.index for item in answer.data] == [0, 1] and len(answer.data[0].embedding) == 8


def test_the_smoke_test_passes(suite):
    import smoke
    assert smoke.main(suite.url, suite.admin_key) == 0
