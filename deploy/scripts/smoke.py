#!/usr/bin/env python3
"""Checks a running suite end to end through its public API: smoke.py BASE_URL API_KEY  (or ADMIN_API_KEY in the environment)

Uploads a small CSV, processes, embeds and stores it, searches it, reads the statistics, and removes everything again.
"""
import os
import sys
import time
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from suite import request

CSV = """id,name,description
1,  Travel mug  ,A steel cup with a lid that keeps drinks hot for hours
2,Garden hose,Twenty metres of hose for watering beds and lawns
3,Wool beanie,A ribbed hat that covers the ears on icy mornings
"""


def main(base, key):
    base = base.rstrip("/")
    tag = "smoke-" + uuid.uuid4().hex[:8]
    failures = 0

    def step(title, condition, answer=""):
        nonlocal failures
        print(("ok    " if condition else "FAIL  ") + title + ("" if condition else f": {answer}"))
        failures += not condition
        return condition

    def call(method, path, body=None, **options):
        return request(method, base + path, body, key=key, **options)

    health = request("GET", base + "/health")
    step("the orchestrator is healthy", health.status == 200, health)
    everything = call("GET", "/api/health/services")
    step("the whole suite is healthy", everything.status == 200, everything)
    step("metrics", "suite_" in request("GET", base + "/metrics").text)
    step("no entrance without a key", request("GET", base + "/api/datasources").status == 401)

    created = call("POST", "/api/datasources", {
        "name": tag, "type": "csv", "connectionConfig": {}, "fieldMapping": {"id": "id", "name": "name", "description": "description"},
        "embeddingFields": ["name", "description"], "qdrantCollection": tag, "processing": [{"operation": "trim", "fields": ["name"]}]})
    if not step("a datasource is created", created.status == 201, created):
        return 1
    source = created.json["id"]
    try:
        uploaded = call("POST", f"/api/datasources/{source}/file?name=smoke.csv", CSV.encode(), headers={"Content-Type": "text/csv"})
        step("a CSV file is uploaded", uploaded.status in (200, 201), uploaded)
        tested = call("POST", f"/api/datasources/{source}/test")
        step("it is readable", tested.status == 200, tested)
        preview = call("GET", f"/api/datasources/{source}/preview")
        step("its preview shows the rows", preview.status == 200 and "Garden hose" in preview.text, preview)
        started = call("POST", f"/api/sync/full/{source}", {})
        if not step("a full sync starts", started.status in (200, 201, 202), started):
            return 1
        job, deadline = started.json, time.monotonic() + 120
        while job["status"] in ("pending", "running") and time.monotonic() < deadline:
            time.sleep(0.2)
            job = call("GET", f"/api/sync/jobs/{job['id']}").json
        step("it completes with every row", job["status"] == "completed" and job["successfulRecords"] == 3, job)
        step("its statistics are there", isinstance(job.get("metadata", {}).get("stats"), dict), job)
        found = call("POST", "/api/search", {"collection": tag, "query": "keeps coffee hot, steel cup", "limit": 1})
        hits = found.json.get("hits") if found.status == 200 else None
        step("a search finds its product, processed", bool(hits) and hits[0]["payload"]["name"] == "Travel mug", found)
        collection = call("GET", f"/api/collections/{tag}")
        step("the collection counts three points", collection.status == 200 and collection.json["totalPoints"] == 3, collection)
    finally:
        removed = call("DELETE", f"/api/datasources/{source}?deletePoints=true")
        step("the datasource is removed", removed.status in (200, 204), removed)
        call("DELETE", f"/api/collections/{tag}")
    print("smoke test " + ("passed" if not failures else f"failed: {failures} steps"))
    return 1 if failures else 0


if __name__ == "__main__":
    base = sys.argv[1] if len(sys.argv) > 1 and sys.argv[1] else "http://127.0.0.1:8000"
    key = sys.argv[2] if len(sys.argv) > 2 and sys.argv[2] else os.environ.get("ADMIN_API_KEY")
    if not key:
        sys.exit("smoke: an API key is needed: make smoke BASE_URL=http://127.0.0.1:8000 KEY=sk_...")
    sys.exit(main(base, key))
