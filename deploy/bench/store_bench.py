"""The part `store` of make bench: 200,000 vectors of 384 numbers in the indexer, through HTTP, and in what PyPI has in-process.

The peers run in processes of their own, one after the other:  store_bench.py PEER FOLDER  prints one JSON object.
"""
import glob
import http.client
import json
import os
import statistics
import subprocess
import sys
import threading
import time

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scripts"))
from suite import LoneIndexer, memory  # noqa: E402

POINTS = int(os.environ.get("BENCH_POINTS", "200000"))
DIMENSIONS = 384
BATCH = 256
CATEGORIES = 100        # a filter for one of them matches 1 %
TERMS, VOCABULARY = 24, 30_000
PEERS = ("edge", "chroma", "faiss")


# Data: clusters, as embeddings have them; sparse vectors as texts have words, a few of them everywhere

def make_data(folder):
    draw = np.random.default_rng(1)
    centres = draw.standard_normal((2000, DIMENSIONS), dtype=np.float32)

    def vectors(count):
        rows = centres[draw.integers(0, len(centres), count)] + 0.7 * draw.standard_normal((count, DIMENSIONS), dtype=np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return np.round(rows.astype(np.float64), 7).astype(np.float32)     # as they are sent

    points, queries = vectors(POINTS), vectors(1200)
    terms = np.minimum(draw.zipf(1.3, (POINTS + len(queries), TERMS)), VOCABULARY).astype(np.uint32)
    weights = np.round(draw.uniform(0.5, 2.0, terms.shape), 3).astype(np.float32)
    for name, array in (("points", points), ("queries", queries), ("terms", terms), ("weights", weights)):
        np.save(os.path.join(folder, name + ".npy"), array)
    truth, filtered = [], []
    for query in queries[:200]:
        scores = points @ query
        truth.append(np.argsort(-scores)[:10].tolist())
        inside = np.arange(7, POINTS, CATEGORIES)
        filtered.append(inside[np.argsort(-scores[inside])[:10]].tolist())
    with open(os.path.join(folder, "truth.json"), "w") as file:
        json.dump({"all": truth, "filtered": filtered}, file)


class Data:
    def __init__(self, folder):
        self.points, self.queries, self.terms, self.weights = (
            np.load(os.path.join(folder, name + ".npy"), mmap_mode="r") for name in ("points", "queries", "terms", "weights"))
        with open(os.path.join(folder, "truth.json")) as file:
            self.truth = json.load(file)

    def sparse(self, row):
        found = {}
        for term, weight in zip(self.terms[row].tolist(), self.weights[row].tolist()):
            found.setdefault(term, round(weight, 3))
        return {"indices": list(found), "values": list(found.values())}

    def recall(self, kind, answers):
        return statistics.mean(len(set(found) & set(wanted)) / len(wanted) for found, wanted in zip(answers, self.truth[kind]))


def payload(number):
    return {"category": number % CATEGORIES, "name": f"product {number}", "price": number % 997 / 10}


def percentiles(took):
    took = sorted(took[len(took) // 10:])
    return statistics.median(took), took[int(len(took) * 0.99)]


# Ours

class Caller:
    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def __call__(self, method, path, body):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.connection.request(method, "/collections/bench" + path, body, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        content = answer.read()
        assert answer.status == 200, content[:500]
        return content

    def timed(self, bodies):
        """Milliseconds of each query, and the ids it answered."""
        took, found = [], []
        for body in bodies:
            body = json.dumps(body).encode()
            began = time.perf_counter()
            content = self("POST", "/points/query", body)
            took.append((time.perf_counter() - began) * 1000)
            found.append([point["id"] for point in json.loads(content)["result"]["points"]])
        return took, found


def ingest(port, data, connections):
    """Bodies are made before the clock runs. Seconds that the server took."""
    seconds = 0.0
    callers = [Caller(port) for _ in range(connections)]
    for start in range(0, POINTS, 40 * BATCH):
        bodies = []
        for first in range(start, min(start + 40 * BATCH, POINTS), BATCH):
            rows = range(first, min(first + BATCH, POINTS))
            vectors = np.round(data.points[rows.start:rows.stop].astype(np.float64), 7).tolist()
            bodies.append(json.dumps({"points": [
                {"id": row, "vector": {"text": vector, "lexical": data.sparse(row)}, "payload": payload(row)}
                for row, vector in zip(rows, vectors)]}).encode())

        def send(part, caller):
            for body in part:
                caller("PUT", "/points?wait=true", body)

        threads = [threading.Thread(target=send, args=(bodies[index::connections], caller)) for index, caller in enumerate(callers)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds += time.perf_counter() - began
    return seconds


def rewrite(port, data, folder, say, points=64, seconds=60):
    """Upserts one after the other, of points that are there, until two compactions are done. A collection has more than one log while
    the older one's points are brought into the files."""
    (collection,) = glob.glob(os.path.join(folder, "collections", "*"))

    def files():
        names = os.listdir(collection)
        return max(int(name[4:-6]) for name in names if name.endswith(".slots")), sum(name.startswith("wal-") for name in names) > 1

    draw = np.random.default_rng(4)
    caller, bodies = Caller(port), []
    for _ in range(500):
        rows = draw.integers(0, POINTS, points).tolist()
        vectors = np.round(data.points[rows].astype(np.float64), 7).tolist()
        bodies.append(json.dumps({"points": [
            {"id": row, "vector": {"text": vector, "lexical": data.sparse(row)}, "payload": payload(row)}
            for row, vector in zip(rows, vectors)]}).encode())
    quiet, busy = [], []
    (first, isBusy), end = files(), time.perf_counter() + seconds
    generation = first
    while time.perf_counter() < end and (generation < first + 2 or isBusy):
        before = isBusy
        began = time.perf_counter()
        caller("PUT", "/points?wait=true", bodies[(len(quiet) + len(busy)) % len(bodies)])
        took = (time.perf_counter() - began) * 1000
        generation, isBusy = files()
        (busy if before or isBusy else quiet).append(took)
    for name, took in (("", sorted(quiet)), (" while a checkpoint or a compaction runs", sorted(busy))):
        if took:
            say(f"store: upsert of {points} points{name}, p50 ms", statistics.median(took), "",
                f"p99 {took[int(len(took) * 0.99)]:.1f}, at most {took[-1]:.1f}; {len(took)} of them, wait=true"
                + (f", {generation - first} compactions" if name else ""))


def ours(folder, binary, say):
    data = Data(folder)
    indexer = LoneIndexer(binary, os.path.join(folder, "store"), os.path.join(folder, "indexer.log"))
    megabytes = lambda field: indexer.memory(field) / 2**20
    indexer.start()
    try:
        caller = Caller(indexer.port)
        caller("PUT", "", {"vectors": {"text": {"size": DIMENSIONS, "distance": "Cosine"}},
                           "sparse_vectors": {"lexical": {"modifier": "idf"}}})
        seconds = ingest(indexer.port, data, 2)
        say("store: ingest, points/s", POINTS / seconds, "≥ 15,000", f"dense and sparse, batches of {BATCH}, wait=true, 2 connections")
        queries = [{"query": query.tolist(), "using": "text", "limit": 10, "with_payload": True} for query in data.queries]
        took, found = caller.timed(queries)
        p50, p99 = percentiles(took)
        say("store: query p50 ms", p50, "≤ 6")
        say("store: query p99 ms", p99, "≤ 20")
        say("store: recall@10", data.recall("all", found), "1.0", "against float32, 200 queries")
        only = {"must": [{"key": "category", "match": {"value": 7}}]}
        caller("POST", "/points/query", {**queries[0], "filter": only})
        took, found = caller.timed([{**query, "filter": only} for query in queries])
        say("store: query with a 1 % filter, p50 ms", percentiles(took)[0], "≤ 2", f"p99 {percentiles(took)[1]:.1f}, recall {data.recall('filtered', found):.3f}")
        hybrid = [{"prefetch": [{"query": query["query"], "using": "text", "limit": 50},
                                {"query": data.sparse(POINTS + index), "using": "lexical", "limit": 50}],
                   "query": {"fusion": "rrf"}, "limit": 10, "with_payload": True} for index, query in enumerate(queries)]
        took, _ = caller.timed(hybrid)
        say("store: hybrid query p50 ms", percentiles(took)[0], "≤ 15", f"p99 {percentiles(took)[1]:.1f}; dense and sparse with idf, rrf")
        deep = [body | {"prefetch": [leg | {"limit": 1000} for leg in body["prefetch"]]} for body in hybrid]
        p50, p99 = percentiles(caller.timed(deep)[0])
        say("store: a hybrid search's query, p50 ms", p50, "≤ 15", f"p99 {p99:.1f}; prefetches of 1,000 as the search API asks, rrf")
        took, _ = caller.timed([body["prefetch"][1] | {"limit": 10} for body in hybrid])
        say("store: sparse query p50 ms", percentiles(took)[0])
        say("store: resident MB", megabytes("VmRSS"), "≤ 600",
            f"at most {megabytes('VmHWM'):.0f}; of its own {megabytes('RssAnon'):.0f}, the rest is mapped files")
        indexer.kill()
        began = time.perf_counter()
        indexer.start()
        Caller(indexer.port)("POST", "/points/query", queries[0])
        say("store: restart after kill -9 to the first answer, s", time.perf_counter() - began, "≤ 3")
        say("store: resident MB after the restart", megabytes("VmRSS"), "≤ 600", f"at most {megabytes('VmHWM'):.0f}")
        rewrite(indexer.port, data, os.path.join(folder, "store"), say)
    finally:
        indexer.stop()


# Peers: each answers how to add rows, to be done with adding, and to search with or without the filter

def edge(data, folder):
    import qdrant_edge as edge
    path = os.path.join(folder, "edge")
    os.mkdir(path)
    shard = edge.EdgeShard.create(path, edge.EdgeConfig(vectors=edge.EdgeVectorParams(size=DIMENSIONS, distance=edge.Distance.Cosine)))
    only = edge.Filter(must=[edge.FieldCondition("category", match=edge.MatchValue(7))])

    def add(first, vectors):
        shard.update(edge.UpdateOperation.upsert_points([
            edge.Point(first + index, vector, payload(first + index)) for index, vector in enumerate(vectors.tolist())]))

    def finish():
        shard.update(edge.UpdateOperation.create_field_index("category", edge.PayloadSchemaType.Integer))
        shard.optimize()
        shard.flush()

    def search(vector, filtered):
        return [point.id for point in shard.query(edge.QueryRequest(
            query=edge.Query.Nearest(vector.tolist()), filter=only if filtered else None, limit=10, with_payload=True))]

    return add, finish, search


def chroma(data, folder):
    import chromadb
    client = chromadb.PersistentClient(os.path.join(folder, "chroma"), chromadb.Settings(anonymized_telemetry=False))
    collection = client.create_collection("bench", metadata={"hnsw:space": "cosine"})

    def add(first, vectors):
        numbers = range(first, first + len(vectors))
        collection.add(ids=[str(number) for number in numbers], embeddings=vectors, metadatas=[payload(number) for number in numbers])

    def search(vector, filtered):
        found = collection.query(query_embeddings=[vector], n_results=10, where={"category": 7} if filtered else None, include=["metadatas"])
        return [int(number) for number in found["ids"][0]]

    return add, lambda: None, search


def faiss(data, folder):
    import faiss
    index = faiss.IndexFlatIP(DIMENSIONS)
    selector = faiss.SearchParameters(sel=faiss.IDSelectorBatch(np.arange(7, POINTS, CATEGORIES)))

    def search(vector, filtered):
        return index.search(vector.reshape(1, -1), 10, params=selector if filtered else None)[1][0].tolist()

    return lambda first, vectors: index.add(vectors), lambda: faiss.write_index(index, os.path.join(folder, "faiss")), search


def peer(name, folder):
    data = Data(folder)
    add, finish, search = {"edge": edge, "chroma": chroma, "faiss": faiss}[name](data, folder)
    before = memory(os.getpid(), "RssAnon")
    began = time.perf_counter()
    for first in range(0, POINTS, BATCH):
        add(first, np.array(data.points[first:first + BATCH]))
    added = time.perf_counter() - began
    finish()
    result = {"ingest": POINTS / added, "build": time.perf_counter() - began - added}
    for kind, filtered in (("all", False), ("filtered", True)):
        took, found = [], []
        for query in data.queries[:600]:
            query = np.array(query)
            start = time.perf_counter()
            found.append(search(query, filtered))
            took.append((time.perf_counter() - start) * 1000)
        result[kind] = [*percentiles(took), data.recall(kind, found)]
    result["anonymous"] = (memory(os.getpid(), "RssAnon") - before) / 2**20
    return result


def run(folder, binary, say):
    make_data(folder)
    ours(folder, binary, say)
    for name in PEERS:
        done = subprocess.run([sys.executable, os.path.abspath(__file__), name, folder], capture_output=True, text=True)
        if done.returncode != 0:
            say(f"store: {name}", "not run", "", done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "")
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        say(f"store: {name} in-process, ingest points/s", found["ingest"], "", f"then {found['build']:.0f} s to build")
        say(f"store: {name}, query p50 ms", found["all"][0], "", f"p99 {found['all'][1]:.1f}, recall@10 {found['all'][2]:.3f}")
        say(f"store: {name}, query with a 1 % filter, p50 ms", found["filtered"][0], "", f"recall@10 {found['filtered'][2]:.3f}")
        say(f"store: {name}, MB of its own", found["anonymous"])


if __name__ == "__main__":
    print(json.dumps(peer(sys.argv[1], sys.argv[2])))
