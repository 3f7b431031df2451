"""Export, import and copy as commands, looked at through the official client."""
import gzip
import json
import os
import random
import subprocess
import threading

import pytest
from indexer_process import BINARY, KEY, folder, indexer, running_indexer  # noqa: F401 (fixtures)
from qdrant_client import models


def command(*words, expected=0, stdin=None, **environment):
    settings = {**os.environ, "QDRANT_API_KEY": KEY, "TARGET_API_KEY": KEY, **environment}
    done = subprocess.run([BINARY, *words], env=settings, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == expected, (words, done.returncode, done.stderr.decode())
    return done


@pytest.fixture
def other():
    with running_indexer() as process:
        yield process


def fill(client, count=1500):
    draw = random.Random(5)
    client.create_collection(
        "shop@1",
        vectors_config={"text": models.VectorParams(size=24, distance=models.Distance.COSINE),
                        "image": models.VectorParams(size=3, distance=models.Distance.EUCLID)},
        sparse_vectors_config={"lexical": models.SparseVectorParams(modifier=models.Modifier.IDF)},
        hnsw_config=models.HnswConfigDiff(m=24), on_disk_payload=False, metadata={"owner": "me"})
    client.create_payload_index("shop@1", "price", models.PayloadSchemaType.FLOAT)
    client.create_payload_index("shop@1", "name", models.TextIndexParams(type="text", tokenizer=models.TokenizerType.WORD))
    client.update_collection_aliases([models.CreateAliasOperation(
        create_alias=models.CreateAlias(collection_name="shop@1", alias_name="shop"))])
    points = []
    for number in range(count):
        vector = {"text": [draw.gauss(0, 1) for _ in range(24)]}
        if number % 2:
            vector["image"] = [draw.uniform(-5, 5) for _ in range(3)]
        if number % 3:
            vector["lexical"] = models.SparseVector(indices=sorted(draw.sample(range(10**6), 4)), values=[draw.random() + 0.1 for _ in range(4)])
        id_ = number if number % 5 else f"00000000-0000-4000-8000-{number:012d}"
        points.append(models.PointStruct(id=id_, vector=vector, payload={
            "name": f"Jarrón «{number}» \n\t\"x\"", "price": number / 7, "tags": [{"a": None}, [number]], "big": 2**53 + number}))
    client.upload_points("shop@1", points, wait=True)
    return points


def everything(client, name):
    points, offset = client.scroll(name, limit=10_000, with_payload=True, with_vectors=True)
    assert offset is None
    return points


def described(client, name):
    info = client.get_collection(name)
    schema = {field: (entry.data_type, entry.params) for field, entry in info.payload_schema.items()}
    config = info.config
    return config.params.vectors, config.params.sparse_vectors, config.hnsw_config.m, config.params.on_disk_payload, schema, info.points_count


def test_an_exported_collection_is_the_same_elsewhere(indexer, other, tmp_path):  # noqa: F811
    here, there = indexer.client(), other.client()
    points = fill(here)
    path = str(tmp_path / "shop.jsonl.gz")
    said = command("export", "shop", path, "--url", indexer.url).stderr.decode()
    assert said == f"exported {len(points)} points of shop\n"

    # Anybody can read it.
    with gzip.open(path, "rt") as file:
        header, *lines = [json.loads(line) for line in file]
    assert header["points"] == len(lines) == len(points) and header["collection"] == "shop@1" and header["aliases"] == ["shop"]
    assert header["config"]["metadata"] == {"owner": "me"} and header["payload_schema"]["price"]["data_type"] == "float"
    assert set(lines[0]) == {"id", "payload", "vector"} and set(lines[-1]["vector"]["lexical"]) == {"indices", "values"}

    assert "reachable as shop" in command("import", path, "--url", other.url).stderr.decode()
    assert everything(there, "shop") == everything(here, "shop")
    assert described(there, "shop@1") == described(here, "shop@1")
    assert there.get_collection("shop@1").config.metadata["owner"] == "me"

    # Through a pipe, plain, under another name.
    with open(tmp_path / "piped", "wb") as file:
        file.write(command("export", "shop", "-", "--url", indexer.url).stdout)
    with open(tmp_path / "piped", "rb") as file:
        command("import", "-", "second", "--url", other.url, stdin=file)
    assert everything(there, "second") == everything(here, "shop")


def test_a_copy_answers_as_the_original(indexer, other):  # noqa: F811
    here, there = indexer.client(), other.client()
    points = fill(here)
    said = command("copy", "shop", other.url, "--url", indexer.url).stderr.decode()
    assert said.endswith(f"the copy shop@1 has all {len(points)} points, compared with the source, reachable as shop\n")
    assert everything(there, "shop") == everything(here, "shop")
    assert described(there, "shop@1") == described(here, "shop@1")
    question = points[7].vector["text"]
    terms = points[7].vector["lexical"]
    for ask in (
        dict(query=question, using="text"),
        dict(query=terms, using="lexical"),
        dict(prefetch=[models.Prefetch(query=question, using="text", limit=30), models.Prefetch(query=terms, using="lexical", limit=30)],
             query=models.FusionQuery(fusion=models.Fusion.RRF)),
    ):
        mine, copied = (client.query_points("shop", limit=20, **ask).points for client in (here, there))
        assert [point.id for point in mine] == [point.id for point in copied]
        assert [point.score for point in mine] == pytest.approx([point.score for point in copied], abs=1e-5)


def test_points_that_stay_are_exported_once_while_others_come_and_go(indexer, tmp_path):  # noqa: F811
    client = indexer.client()
    client.create_collection("busy", vectors_config=models.VectorParams(size=8, distance=models.Distance.DOT))
    stay = [models.PointStruct(id=number * 2, vector=[1.0] * 8, payload={"n": number, "text": "x" * 2000}) for number in range(3000)]
    client.upload_points("busy", stay, wait=True, batch_size=500)
    done = threading.Event()

    def disturb():
        writer, draw, number = indexer.client(), random.Random(6), 0
        while not done.is_set():
            number += 1
            id_ = draw.randrange(3000) * 2 + 1
            writer.upsert("busy", [models.PointStruct(id=id_, vector=[0.0] * 8, payload={})])
            writer.set_payload("busy", {"seen": number}, points=[draw.randrange(3000) * 2])
            if number % 2:
                writer.delete("busy", [draw.randrange(3000) * 2 + 1])

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        for turn in range(3):
            path = str(tmp_path / f"busy{turn}.jsonl")
            command("export", "busy", path, "--url", indexer.url)
            with open(path) as file:
                header, *lines = [json.loads(line) for line in file]
            ids = [line["id"] for line in lines]
            assert header["points"] == len(ids) == len(set(ids)) and ids == sorted(ids)
            assert set(ids) >= {point.id for point in stay}
    finally:
        done.set()
        thread.join()


def test_a_wrong_command_line_exits_with_64_and_a_failure_with_1(indexer, tmp_path):  # noqa: F811
    for words in (["export", "x"], ["import"], ["copy", "x"], ["copy", "x", "y"], ["export", "x", "y", "--colour", "red"]):
        done = command(*words, expected=64)
        assert b"usage: indexer export" in done.stderr and not done.stdout
    path = tmp_path / "x.jsonl"
    assert b"Collection `x` doesn't exist" in command("export", "x", str(path), "--url", indexer.url, expected=1).stderr
    assert not list(tmp_path.iterdir()), "a failed export leaves no file"
    assert b"No such file" in command("import", str(path), "--url", indexer.url, expected=1).stderr
    done = command("export", "x", str(path), "--url", indexer.url, "--api-key", "wrong", expected=1)
    assert b"401" in done.stderr
