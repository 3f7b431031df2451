#!/usr/bin/env python3
"""Starts the suite under .run/, fills and syncs the sample catalogue, searches it, and stays until Ctrl-C.

run.py [--folder .run] [--configuration release] [--exit]      --exit: stop after the searches (for tests)
"""
import argparse
import json
import os
import signal
import sys
import textwrap
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "sample"))
import make_catalogue
from suite import ROOT, SERVICES, StartError, Suite, binaries, is_free

SEARCHES = ["a cup that keeps drinks hot on my commute", "helps a newborn fall asleep", "shoes for muddy mountain paths"]


class Stop(Exception):
    """Ctrl-C, or SIGTERM."""


def stop(*_):
    raise Stop


def choose_ports():
    chosen, following = {}, 8010
    for name, port in SERVICES.items():
        if not is_free(port):
            while not is_free(following):
                following += 1
            print(f"  port {port} is taken: {name} listens on {following}")
            port, following = following, following + 1
        chosen[name] = port
    return chosen


def write_catalogue(suite):
    """The same products as a CSV file in the mounted folder and as a table of the database `shop`."""
    path = os.path.join(suite.files, "catalogue.csv")
    with open(path, "w", newline="") as file:
        make_catalogue.write(file)
    postgres = suite.postgres
    postgres.make_database("shop", "catalogue")
    columns = ", ".join(make_catalogue.COLUMNS)
    with open(path) as file:
        postgres.psql(
            "CREATE TABLE IF NOT EXISTS products (id text PRIMARY KEY, sku text, name text, description text, category text, brand text, "
            "price numeric(10,2), currency text, rating numeric(2,1), review_count integer, in_stock boolean, updated_at timestamptz)",
            "CREATE TEMPORARY TABLE fresh (LIKE products)", f"COPY fresh ({columns}) FROM STDIN (FORMAT csv, HEADER)",
            "INSERT INTO products SELECT * FROM fresh ON CONFLICT (id) DO NOTHING",
            database="shop", user="catalogue", stdin=file)


def make_datasource(suite):
    """`deploy/examples/datasource.json` with the address of the private database; kept from an earlier run."""
    for datasource in suite.expect("GET", "/api/datasources?limit=100")["items"]:
        if datasource["name"] == "sample catalogue":
            known = datasource
            break
    else:
        known = None
    with open(os.path.join(ROOT, "deploy/examples/datasource.json")) as file:
        wanted = json.load(file)
    wanted["name"] = "sample catalogue"
    wanted["connectionConfig"].update(host="127.0.0.1", port=suite.postgres.port, password=suite.postgres.password)
    if known:
        # The private database has another port each time.
        return suite.expect("PUT", f"/api/datasources/{known['id']}", wanted)
    return suite.expect("POST", "/api/datasources", wanted)


def show_progress(job, started, width=32):
    total, done = job.get("totalRecords") or 0, job.get("processedRecords") or 0
    share = min(1.0, done / total) if total else 0.0
    seconds = max(time.monotonic() - started, 0.001)
    bar = "█" * int(share * width) + "░" * (width - int(share * width))
    line = f"  {bar} {done:>6,} of {total:,} · {done / seconds:,.0f}/s · {job['status']}"
    if sys.stdout.isatty():
        print("\r" + line.ljust(90), end="", flush=True)
    elif time.monotonic() - show_progress.printed > 1 or job["status"] not in ("pending", "running"):
        print(line, flush=True)
        show_progress.printed = time.monotonic()


show_progress.printed = 0.0


def sync(suite, datasource):
    answer = suite.call("POST", f"/api/sync/full/{datasource['id']}", {})
    if answer.status == 409:   # an earlier run was cut off: its job goes on by itself
        job = answer.json.get("job") or suite.expect(
            "GET", f"/api/sync/jobs?datasourceId={datasource['id']}&limit=1")["items"][0]
    elif answer.status in (200, 201, 202):
        job = answer.json
    else:
        raise StartError(f"starting the sync: {answer}")
    started = time.monotonic()
    job = suite.wait_for_job(job["id"], limit=1800, progress=lambda job: show_progress(job, started))
    print()
    if job["status"] != "completed":
        raise StartError(f"the sync ended as {job['status']}: {job.get('errorMessage')}")
    print(f"  {job['successfulRecords']:,} written, {job['skippedRecords']:,} unchanged, {job['failedRecords']:,} failed, "
          f"{job['deletedRecords']:,} deleted in {time.monotonic() - started:.1f} s")


def search(suite, collection):
    for query in SEARCHES:
        answer = suite.search(collection, query, limit=3)
        print(f"\n  “{query}”  ({answer['tookMs']} ms)")
        for place, hit in enumerate(answer["hits"], 1):
            payload = hit["payload"]
            print(f"    {place}. {payload['name']}")
            print(f"       {textwrap.shorten(payload['description'], 100, placeholder=' …')}")


def watch(suite):
    """A service that ends by itself is said and started again."""
    while True:
        time.sleep(1)
        for service in suite.services.values():
            if not service.is_running:
                print(f"{service.name} ended with code {service.popen.returncode}; starting it again\n{service.log_tail(5)}")
                service.start(wait=False)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--folder", default=os.path.join(ROOT, ".run"))
    options.add_argument("--configuration", default="release")
    options.add_argument("--exit", action="store_true")
    options = options.parse_args()
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)

    suite = Suite(options.folder, binaries(options.configuration), ports=choose_ports(), model=os.environ.get("EMBEDDING_MODEL_DIR"))
    code = 0
    try:
        print("Starting PostgreSQL, Redis and six services (logs in %s)" % os.path.relpath(suite.logs))
        suite.start()
        print("Filling the sample catalogue")
        write_catalogue(suite)
        datasource = make_datasource(suite)
        print(f"Syncing “{datasource['name']}” into the collection “{datasource['qdrantCollection']}”")
        sync(suite, datasource)
        print("Searching")
        search(suite, datasource["qdrantCollection"])
        print(f"""
  API      {suite.url}/api        description: {suite.url}/api/openapi.json
  key      {suite.admin_key}

  curl -s -H 'Authorization: Bearer {suite.admin_key}' '{suite.url}/api/search?collection={datasource['qdrantCollection']}&q=gift+for+a+gardener&limit=3'

Ctrl-C stops everything; the data stays in {os.path.relpath(suite.folder)}/.""", flush=True)
        if not options.exit:
            watch(suite)
    except Stop:
        pass
    except StartError as error:
        print(f"\n{error}", file=sys.stderr)
        code = 1
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("\nStopping", flush=True)
        codes = suite.stop()
        for name, ended in codes.items():
            if ended != 0:
                print(f"  {name} ended with {'force' if ended is None else ended}")
    return code


if __name__ == "__main__":
    sys.exit(main())
