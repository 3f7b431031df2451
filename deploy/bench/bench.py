#!/usr/bin/env python3
"""make bench: how fast the suite is on this machine, beside a plain script that does the same work.

bench.py [PART...]   parts: store (with its peers), pipeline (with rescan, peer, search), http, queue, model; all without arguments.
relevance (how well a search finds; REAL_PRODUCTS= names the products) runs only when it is asked for. BENCH_ROWS= changes 202,910,
BENCH_POINTS= the store's 200,000.
Release binaries; the embedding server is a stub that costs next to nothing. Results: .run/bench.json and a table.
"""
import http.client
import json
import os
import platform
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "scripts"), os.path.join(HERE, "..", "sample"), os.path.join(HERE, "relevance")]
import make_catalogue  # noqa: E402
import relevance as judged  # noqa: E402
import store_bench  # noqa: E402
from suite import ROOT, Process, RedisServer, Suite, binaries, free_port, request  # noqa: E402

os.environ.pop("OPENBLAS_CORETYPE", None)   # some machines export a slow kernel
ROWS = int(os.environ.get("BENCH_ROWS", "202910"))
DIMENSIONS = 384
results, lines = {}, []


def say(name, value, aim="", note=""):
    results[name] = value
    shown = f"{value:,.0f}" if isinstance(value, (int, float)) and abs(value) >= 100 else f"{value:,.2f}" if isinstance(value, float) else str(value)
    lines.append((name, shown, aim, note))
    print(f"  {name:<58} {shown:>12}  {aim:<16} {note}", flush=True)


def machine():
    with open("/proc/cpuinfo") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    with open("/proc/meminfo") as file:
        memory = int(file.read().split()[1]) >> 20
    return f"{os.cpu_count()} x {model.group(1) if model else platform.machine()}, {memory} GB, Linux {platform.release()}"


# Processes and what they cost

def cpu_of_tree(process):
    """The process, its children that live and those that ended: PostgreSQL works in its children."""
    tick = os.sysconf("SC_CLK_TCK")
    total = 0.0
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(entry) == process.pid:
            total += sum(map(int, fields[11:15])) / tick
        elif int(fields[1]) == process.pid:
            total += sum(map(int, fields[11:13])) / tick
    return total


class Meter:
    def __init__(self, processes):
        self.processes = processes
        self.before = {process.name: cpu_of_tree(process) for process in processes}
        self.began = time.monotonic()

    def stop(self, rows):
        self.seconds = time.monotonic() - self.began
        return {process.name: (cpu_of_tree(process) - self.before[process.name]) * 1e6 / rows for process in self.processes}


def start_stub(folder):
    binary = os.path.join(folder, "stub")
    subprocess.run(["cc", "-O2", "-o", binary, os.path.join(HERE, "stub.c"), "-lm"], check=True)
    port = free_port()
    stub = Process("stub", [binary, str(port), str(DIMENSIONS)], os.path.join(folder, "stub.log"))
    stub.spawn()
    stub.port = port
    while request("GET", f"http://127.0.0.1:{port}/").status != 200:
        time.sleep(0.02)
    return stub


# Parts

WORDS = ("steel cotton wireless compact garden winter leather kitchen battery water rapid silent folding ceramic outdoor travel bright "
         "durable soft natural classic digital organic heavy light family premium everyday charger blanket lamp jacket bottle helmet "
         "speaker keyboard tripod mattress drill planter kettle notebook").split()


def fill(suite):
    """`products`: ROWS rows whose text has about 300 characters."""
    draw = random.Random(1)
    suite.postgres.make_database("shop", "catalogue")
    suite.postgres.psql("CREATE TABLE products (id integer PRIMARY KEY, name text, description text, price integer)",
                        database="shop", user="catalogue")
    path = os.path.join(suite.folder, "rows.tsv")
    with open(path, "w") as file:
        for number in range(1, ROWS + 1):
            words = draw.choices(WORDS, k=41)
            file.write(f"{number}\t{' '.join(words[:5])} {number}\t{' '.join(words[5:])}\t{number % 997}\n")
    with open(path) as file:
        suite.postgres.psql("COPY products FROM STDIN", "ANALYZE products", database="shop", user="catalogue", stdin=file)
    length = suite.postgres.psql("SELECT avg(length(name) + length(description))::int FROM products", database="shop")[0][0]
    print(f"{ROWS:,} rows of {length} characters on average")


def pipeline(folder):
    stub = start_stub(folder)
    suite = Suite(os.path.join(folder, "suite"), binaries("release"), env={
        "EMBEDDING_PROVIDER": "openai", "EMBEDDING_MODEL": "stub", "EMBEDDING_DIMENSIONS": str(DIMENSIONS),
        "OPENAI_BASE_URL": f"http://127.0.0.1:{stub.port}/v1", "OPENAI_API_KEY": "none", "ACCESS_LOG": "false",
    })
    try:
        suite.start()
        fill(suite)
        source = suite.expect("POST", "/api/datasources", {
            "name": "bench", "type": "postgresql",
            "connectionConfig": {"host": "127.0.0.1", "port": suite.postgres.port, "database": "shop", "user": "catalogue",
                                 "password": suite.postgres.password, "table": "products"},
            "fieldMapping": {"id": "id", "name": "name", "description": "description", "price": "price"},
            "embeddingFields": ["name", "description"], "qdrantCollection": "products"})
        processes = [*suite.services.values(), suite.postgres, suite.redis, stub]
        for title, aim in (("full sync", "≥ 6,000"), ("unchanged rescan", "≥ 20,000")):
            meter = Meter(processes)
            job = suite.sync(source["id"], options={"batchSize": 256}, limit=1800, interval=0.05)
            costs = meter.stop(ROWS)
            if job["status"] != "completed" or job["totalRecords"] != ROWS:
                raise SystemExit(f"the {title} ended as {job}")
            say(f"{title}, rows/s", ROWS / meter.seconds, aim)
            for name, cost in costs.items():
                if cost >= 0.05:
                    say(f"{title}, CPU µs per row, {name}", cost)
            say(f"{title}, CPU µs per row, all", sum(costs.values()))
        count = suite.expect("GET", "/api/collections/products")["totalPoints"]
        assert count == ROWS, f"{count} points"
        search(suite)
        for service in suite.services.values():
            say(f"peak resident MB, {service.name}", service.memory("VmHWM") / 2**20, "≤ 600" if service.name == "indexer" else "≤ 150")
        say("indexer after it, MB of its own (the rest is mapped files)", suite["indexer"].memory("RssAnon") / 2**20)
        suite.stop_services()
        peer(suite, stub)
    finally:
        suite.stop()
        stub.stop()
        shutil.rmtree(suite.postgres.folder, ignore_errors=True)


def search(suite, times=600):
    """200k x 384 through the indexer's HTTP, one connection, keep-alive."""
    draw = random.Random(2)
    connection = http.client.HTTPConnection("127.0.0.1", suite["indexer"].port)
    headers = {"Content-Type": "application/json", "api-key": suite.internal_token}
    took = []
    for _ in range(times):
        vector = [round(draw.gauss(0, 1), 6) for _ in range(DIMENSIONS)]
        body = json.dumps({"query": vector, "using": "text", "limit": 10, "with_payload": True})
        began = time.perf_counter()
        connection.request("POST", "/collections/products/points/query", body, headers)
        answer = connection.getresponse()
        content = answer.read()
        took.append((time.perf_counter() - began) * 1000)
        assert answer.status == 200, content
    took = sorted(took[50:])
    say(f"search of {ROWS:,} x {DIMENSIONS}, p50 ms", statistics.median(took), "< 6")
    say(f"search of {ROWS:,} x {DIMENSIONS}, p99 ms", took[int(len(took) * 0.99)])


def peer(suite, stub):
    """What somebody would write in an afternoon: one row batch after the other, JSON floats, Qdrant's own client. Its Qdrant keeps nothing."""
    import psycopg2
    from qdrant_client import QdrantClient, models
    rows = ROWS
    database = psycopg2.connect(suite.postgres.url("shop", "catalogue"))
    cursor = database.cursor("reader")
    cursor.itersize = 256
    embedder = http.client.HTTPConnection("127.0.0.1", stub.port)
    qdrant = QdrantClient(url=f"http://127.0.0.1:{stub.port}", check_compatibility=False)
    began, cpu = time.monotonic(), time.process_time()
    cursor.execute("SELECT id, name, description, price FROM products ORDER BY id")
    while batch := cursor.fetchmany(256):
        texts = [f"{name}\n{description}" for _, name, description, _ in batch]
        embedder.request("POST", "/v1/embeddings", json.dumps({"model": "stub", "input": texts, "encoding_format": "float"}),
                         {"Content-Type": "application/json"})
        vectors = json.loads(embedder.getresponse().read())["data"]
        qdrant.upsert("products", wait=True, points=[
            models.PointStruct(id=row[0], vector={"text": item["embedding"]},
                               payload={"name": row[1], "description": row[2], "price": row[3]})
            for row, item in zip(batch, vectors)])
    seconds = time.monotonic() - began
    say("peer (psycopg2, JSON floats, qdrant-client), rows/s", rows / seconds)
    say("peer, CPU µs per row of the script alone", (time.process_time() - cpu) * 1e6 / rows)


def http_requests(folder):
    service = alone(folder, "ai-status", {"ACCESS_LOG": "false"})
    try:
        output = subprocess.run(["wrk", "-t1", "-c64", "-d6s", "--latency", service.url + "/livez"], capture_output=True, text=True).stdout
        assert "Non-2xx" not in output, output
        say("HTTP GETs/s, 64 keep-alive connections", float(re.search(r"Requests/sec:\s+([\d.]+)", output).group(1)), "≥ 45,000",
            "p99 " + re.search(r"99%\s+(\S+)", output).group(1))
    finally:
        service.suite.stop()


def alone(folder, name, env):
    """One service over a PostgreSQL and Redis of its own."""
    suite = Suite(os.path.join(folder, name), binaries("release"), env=env)
    suite.start_servers()
    suite.start_services([name])
    service = suite[name]
    service.suite = suite
    return service


def queue(folder):
    subprocess.run(["swift", "build", "-c", "release", "--product", "queue-bench"], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    redis = RedisServer(os.path.join(folder, "queue-redis"), os.path.join(folder, "queue-redis.log"), free_port())
    redis.start()
    try:
        output = subprocess.run([os.path.join(binaries("release"), "queue-bench"), redis.url, "500000"], capture_output=True, text=True, check=True)
        count, rate = map(int, output.stdout.split())
        assert count == 500_000, output.stdout
        say("queue messages/s, claimed by 64 and acknowledged", rate, "≥ 50,000", "appendfsync everysec")
    finally:
        redis.stop()


def model(folder):
    """Product texts of about 36 tokens through POST /embed of the built-in model; none is in the cache."""
    texts, draw = [], random.Random(3)
    for row in make_catalogue.rows(1248, 7):
        texts.append(f"{row['name']}. {row['description']}")
    for kernel in (None, "Haswell"):
        env = {"EMBEDDING_PROVIDER": "local", "EMBEDDING_MODEL_DIR": os.environ.get("EMBEDDING_MODEL_DIR", ""), "ACCESS_LOG": "false"}
        if kernel:
            env["OPENBLAS_CORETYPE"] = kernel
        service = alone(os.path.join(folder, f"model-{kernel}"), "embedder", env)
        try:
            key, tokens, lock = service.suite.internal_token, [0], threading.Lock()

            def embed(part):
                for start in range(0, len(part), 64):
                    answer = request("POST", service.url + "/embed", {"texts": part[start:start + 64], "task": "document"}, key=key, timeout=120)
                    assert answer.status == 200, answer
                    with lock:
                        tokens[0] += answer.json.get("tokens") or 0

            embed([f"warm up {number}" for number in range(64)])
            tokens[0] = 0
            cpu, began = service.cpu_seconds(), time.monotonic()
            halves = [threading.Thread(target=embed, args=(texts[part::2],)) for part in (0, 1)]
            for half in halves:
                half.start()
            for half in halves:
                half.join()
            used = service.cpu_seconds() - cpu
            label = "AVX2 kernel" if kernel else "this machine's kernel"
            say(f"local model, texts per CPU-second, {label}", len(texts) / used, "≥ 100" if kernel else "",
                f"{tokens[0] / len(texts):.0f} tokens a text, {len(texts) / (time.monotonic() - began):.0f} texts/s")
            say(f"embedder with the model, peak resident MB, {label}", service.memory("VmHWM") / 2**20, "≤ 300")
        finally:
            service.suite.stop()


def relevance(folder):
    path, model_folder = os.environ.get("REAL_PRODUCTS"), os.environ.get("EMBEDDING_MODEL_DIR")
    if not path or not model_folder:
        raise SystemExit("relevance needs REAL_PRODUCTS (electronics-products.csv.gz) and the model")
    products, judgments = judged.read_products(path), judged.load()
    with Suite(os.path.join(folder, "relevance"), binaries("release"), model=model_folder) as suite:
        figures = judged.evaluate(suite, judged.fill(suite, path), products, judgments)
    for chosen in ("development", "report"):
        for mode in judged.MODES:
            for kind in judged.KINDS:
                ndcg, recall, queries, milliseconds = figures[chosen, mode, kind]
                say(f"{chosen}: {mode}, {kind} ({queries} queries): nDCG@10 / recall@100", f"{ndcg:.3f} / {recall:.2f}",
                    note=f"{milliseconds:.1f} ms" if kind == "all" else "")


def store(folder):
    store_bench.run(folder, os.path.join(binaries("release"), "indexer"), say)


def main():
    parts = {"store": store, "http": http_requests, "queue": queue, "model": model, "pipeline": pipeline}
    chosen = sys.argv[1:] or list(parts)
    parts["relevance"] = relevance
    folder = tempfile.mkdtemp(prefix="suite-bench.")
    os.chmod(folder, 0o711)
    results["machine"] = machine()
    print(results["machine"])
    try:
        for name in chosen:
            print(name)
            parts[name](folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(os.path.join(ROOT, ".run"), exist_ok=True)
        with open(os.path.join(ROOT, ".run", "bench.json"), "w") as file:
            json.dump(results, file, indent=2, ensure_ascii=False)
    print(f"\n{results['machine']}\n\n| | measured | aim | |\n|---|---:|---|---|")
    for line in lines:
        print("| " + " | ".join(line) + " |")


if __name__ == "__main__":
    main()
