"""The main job through six real processes: a catalogue becomes searchable, and stays in step with its source."""
import gzip
import io
import os

import ledger
import make_catalogue
import pytest
from running import MODEL

FIELDS = {"name": "name", "description": "description", "category": "category", "price": "price", "sku": "sku"}


def write_file(suite, name, content):
    if isinstance(content, str):
        content = content.encode()
    with open(os.path.join(suite.files, name), "wb") as file:
        file.write(content)


def catalogue(count=1248):
    text = io.StringIO()
    make_catalogue.write(text, count)
    return text.getvalue()


def csv_source(name, path, collection, **more):
    return {"name": name, "type": "csv", "connectionConfig": {"path": path}, "fieldMapping": {"id": "id", **FIELDS},
            "embeddingFields": ["name", "description"], "qdrantCollection": collection, **more}


def names(answer):
    return [hit["payload"]["name"] for hit in answer["hits"]]


# A catalogue becomes searchable

@pytest.fixture(scope="module")
def products(suite):
    """The sample catalogue, synced from a CSV file."""
    write_file(suite, "catalogue.csv", catalogue())
    source = suite.expect("POST", "/api/datasources", csv_source("products", "catalogue.csv", "products"))
    return source, suite.sync(source["id"])


def test_csv_becomes_searchable(suite, products):
    _, job = products
    assert job["status"] == "completed" and job["totalRecords"] == 1248, job
    assert job["successfulRecords"] == 1248 and job["failedRecords"] == 0, job
    assert ledger.count(suite, "products") == 1248
    collection = suite.expect("GET", "/api/collections/products")
    assert collection["totalPoints"] == 1248, collection
    hits = suite.search("products", "cast iron skillet", limit=5)["hits"]
    assert "skillet" in hits[0]["payload"]["name"].lower(), hits
    assert hits[0]["key"].startswith("P-") and hits[0]["score"] >= hits[1]["score"]
    ledger.assert_quiet(suite)


@pytest.mark.skipif(not MODEL, reason="needs the language model")
@pytest.mark.parametrize("query, product", [
    ("drinks stay warm while commuting", "travel mug"),
    ("helps a newborn fall asleep", "white noise"),
    ("shoes for muddy mountain paths", "trail running shoes"),
    ("stop the cat from ruining my couch", "scratching post"),
    ("see at night on the path in my yard", "garden lights"),
])
def test_a_paraphrase_finds_its_product(suite, products, query, product):
    found = names(suite.search("products", query, limit=3))
    assert any(product in name.lower() for name in found), found


def test_search_filters_and_pages(suite, products):
    only_pets = {"must": [{"key": "category", "match": {"value": "Pets"}}]}
    answer = suite.search("products", "a gift", limit=10, filter=only_pets)
    assert len(answer["hits"]) == 10 and {hit["payload"]["category"] for hit in answer["hits"]} == {"Pets"}
    first = suite.search("products", "a warm jacket", limit=6)["hits"]
    pages = [suite.search("products", "a warm jacket", limit=2, offset=offset)["hits"] for offset in (0, 2, 4)]
    assert [hit["id"] for page in pages for hit in page] == [hit["id"] for hit in first]
    by_browser = suite.expect("GET", "/api/search?collection=products&q=a+warm+jacket&limit=6")
    assert [hit["id"] for hit in by_browser["hits"]] == [hit["id"] for hit in first]


def test_a_rescan_skips_what_has_not_changed(suite, products):
    source, _ = products
    job = suite.sync(source["id"])
    assert job["status"] == "completed" and job["skippedRecords"] == 1248 and job["successfulRecords"] == 0, job


def test_search_on_an_unknown_collection_says_which_exist(suite, products):
    answer = suite.call("POST", "/api/search", {"collection": "nowhere", "query": "x"})
    assert answer.status == 404 and "products" in answer.text, answer


def test_the_search_survives_a_restart_of_everything(suite, products):
    before = suite.search("products", "noise cancelling headphones", limit=3)["hits"]
    codes = suite.stop_services()
    assert set(codes.values()) == {0}, f"SIGTERM: {codes}"
    suite["indexer"].spawn()
    suite["indexer"].kill()          # and once by force
    suite.start_services()
    assert suite.search("products", "noise cancelling headphones", limit=3)["hits"] == before


# PostgreSQL: changes, deletes, resumes. Over the stub, where each vector and each paid text can be checked.

def text_of(row):
    return f"{row[1]}\n{row[2]}"


class Items:
    """The table `items` of a shop, its datasource, and what the collection must hold."""

    def __init__(self, suite, shop, create, name, rows=300, **more):
        self.suite, self.shop, self.name = suite, shop, name
        shop.run(f"DROP TABLE IF EXISTS {name}")
        shop.run(f"CREATE TABLE {name} (id integer PRIMARY KEY, name text, description text, price integer)")
        shop.run(f"INSERT INTO {name} SELECT n, 'Thing ' || n, '{name} number ' || n, n % 90 FROM generate_series(1, {rows}) n")
        self.source = create(suite, **{
            "name": name, "type": "postgresql", "connectionConfig": shop.config(table=name),
            "fieldMapping": {"id": "id", "name": "name", "description": "description", "price": "price"},
            "embeddingFields": ["name", "description"], "embedding": {"template": "{{name}}\n{{description}}"},
            "qdrantCollection": name, **more})

    def expected(self):
        rows = self.shop.run(f"SELECT id, name, description, price FROM {self.name}")
        return {str(row[0]): (text_of(row), {"name": row[1], "description": row[2], "price": row[3]}) for row in rows}

    def sync(self, **options):
        return self.suite.sync(self.source["id"], options=options)

    def check(self, stub, job, **numbers):
        ledger.check(self.suite, stub, self.name, self.expected(), job, **numbers)


@pytest.fixture
def items(stub_suite, shops, datasource):
    return lambda name, **more: Items(stub_suite, shops(stub_suite, "shop"), datasource, name, **more)


def test_changes_payload_updates_and_deletes_follow_the_source(items, stub):
    table = items("changing")
    stub.reset()
    table.check(stub, table.sync())
    assert stub.total == 300

    # Ten other texts, ten other prices, ten rows gone, five new.
    table.shop.run("UPDATE changing SET description = description || ' in blue' WHERE id <= 10")
    table.shop.run("UPDATE changing SET price = price + 1000 WHERE id BETWEEN 11 AND 20")
    table.shop.run("DELETE FROM changing WHERE id BETWEEN 21 AND 30")
    table.shop.run("INSERT INTO changing SELECT n, 'New ' || n, 'just in ' || n, 1 FROM generate_series(901, 905) n")
    stub.reset()
    job = table.sync()
    table.check(stub, job, deleted=10)
    assert stub.total == 15, "only changed texts are paid for"
    assert job["successfulRecords"] == 25 and job["skippedRecords"] == 270, job

    stub.reset()
    job = table.sync()
    table.check(stub, job)
    assert job["skippedRecords"] == 295 and stub.total == 0

    job = table.sync(force=True)
    assert job["skippedRecords"] == 0 and job["successfulRecords"] == 295, job


def test_a_mass_delete_needs_permission(items, stub):
    table = items("emptied")
    table.check(stub, table.sync())
    table.shop.run("DELETE FROM emptied WHERE id > 200")
    job = table.sync()
    assert job["status"] == "completed" and job["deletedRecords"] == 0, job
    assert "delete" in str(job).lower(), "it must say why nothing was deleted"
    assert ledger.count(table.suite, "emptied") == 300
    table.check(stub, table.sync(allowMassDelete=True), deleted=100)


def test_operations_run_before_the_mapping(items, stub):
    table = items("processed", rows=120, processing=[
        {"operation": "uppercase", "fields": ["name"]}, {"operation": "trim", "fields": ["description"]}])
    job = table.sync()
    assert job["status"] == "completed" and job["successfulRecords"] == 120, job
    payload, _, _ = ledger.points(table.suite, "processed")["7"]
    assert payload["name"] == "THING 7", payload


def test_keyset_and_offset_templates_read_every_row(items, stub):
    for name, template in {
        "by_keyset": "SELECT id, name, description, price FROM by_keyset WHERE id > {{after}} ORDER BY id LIMIT {{limit}}",
        "by_offset": "SELECT id, name, description, price FROM by_offset ORDER BY id LIMIT {{limit}} OFFSET {{offset}}",
    }.items():
        table = items(name, rows=2_350, queryTemplate=template)
        table.check(stub, table.sync(batchSize=500))


def test_a_cancelled_job_stops_and_resumes_without_paying_twice(items, stub):
    table = items("cancelled", rows=3000)
    stub.reset()
    stub.delay = 0.15
    try:
        started = table.suite.expect("POST", f"/api/sync/full/{table.source['id']}", {"batchSize": 50})
        conflict = table.suite.call("POST", f"/api/sync/full/{table.source['id']}", {})
        assert conflict.status == 409 and started["id"] in conflict.text, conflict
        table.suite.wait_for_job(started["id"], progress=lambda job: cancel_once(table.suite, job))
    finally:
        stub.delay = 0.0
    assert table.suite.job(started["id"])["status"] == "cancelled"
    ledger.assert_quiet(table.suite)
    before, paid = ledger.count(table.suite, "cancelled"), stub.total
    assert 0 < before < 3000
    resumed = table.suite.expect("POST", f"/api/sync/jobs/{started['id']}/resume")
    assert resumed["id"] == started["id"]
    table.check(stub, table.suite.wait_for_job(started["id"]))
    assert stub.total <= 3000 + stub.largest * 4, f"paid {stub.total} texts ({paid} before the cancel)"


def cancel_once(suite, job):
    if job["status"] == "running" and job["processedRecords"] >= 100:
        suite.call("POST", f"/api/sync/jobs/{job['id']}/cancel", {"reason": "the test says so"})


def test_a_poisoned_text_fails_alone(items, stub):
    table = items("poisoned", rows=150)
    table.shop.run("UPDATE poisoned SET name = 'Thing of arsenic' WHERE id = 77")
    stub.poison = {"arsenic"}
    try:
        job = table.sync()
    finally:
        stub.poison = set()
    assert job["status"] == "completed" and job["failedRecords"] == 1 and job["successfulRecords"] == 149, job
    errors = table.suite.expect("GET", f"/api/sync/errors/{job['id']}")
    assert [error["recordIdentifier"] for error in errors["items"]] == ["77"], errors
    # Once the provider takes it, the next sync embeds just this one.
    stub.reset()
    job = table.sync()
    table.check(stub, job)
    assert stub.total == 1


def test_progress_is_an_event_stream(items):
    table = items("streamed", rows=100)
    started = table.suite.expect("POST", f"/api/sync/full/{table.source['id']}", {})
    answer = table.suite.call("GET", f"/api/sync/jobs/{started['id']}/events", timeout=60)
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/event-stream"), answer
    assert "data:" in answer.text and "completed" in answer.text


# Files

def test_gzip_and_uploaded_files(suite, datasource):
    write_file(suite, "small.csv.gz", gzip.compress(catalogue(40).encode()))
    zipped = datasource(suite, **csv_source("zipped", "small.csv.gz", "zipped"))
    assert suite.sync(zipped["id"])["successfulRecords"] == 40
    uploaded = datasource(suite, **{**csv_source("uploaded", "", "uploaded"), "connectionConfig": {}})
    answer = suite.call("POST", f"/api/datasources/{uploaded['id']}/file?name=small.csv", catalogue(60).encode(),
                        headers={"Content-Type": "text/csv"})
    assert answer.status in (200, 201), answer
    assert suite.sync(uploaded["id"])["successfulRecords"] == 60


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1", "windows-1252"])
def test_csv_in_another_encoding(suite, datasource, encoding):
    write_file(suite, f"{encoding}.csv", "id;name;description;category;price;sku\r\n1;Crème brûlée;für zwei;Küche;3;x\r\n".encode(encoding))
    source = csv_source(encoding, f"{encoding}.csv", f"enc-{encoding}")
    source["connectionConfig"].update(delimiter=";", encoding="utf-8" if encoding == "utf-8-sig" else encoding)
    job = suite.sync(datasource(suite, **source)["id"])
    assert job["successfulRecords"] == 1, job
    payload, _, _ = ledger.points(suite, f"enc-{encoding}")["1"]
    assert payload["name"] == "Crème brûlée"


REAL = os.environ.get("REAL_PRODUCTS")   # electronics-products.csv.gz


@pytest.mark.skipif(not (REAL and MODEL), reason="REAL_PRODUCTS names no file")
@pytest.mark.parametrize("kind", ["csv", "postgresql"])
def test_real_products(suite, shops, datasource, kind):
    body = {"name": f"electronics {kind}", "type": kind, "qdrantCollection": f"electronics_{kind}",
            "fieldMapping": {"id": "id", "title": "title", "description": "short_description", "supplier": "supplier",
                             "price": "price_cents"},
            "embeddingFields": ["title", "description"]}
    if kind == "csv":
        with open(REAL, "rb") as file:
            write_file(suite, "electronics.csv.gz", file.read())
        body["connectionConfig"] = {"path": "electronics.csv.gz"}
    else:
        shop = shops(suite, "electronics")
        shop.run("CREATE TABLE products (id text PRIMARY KEY, sku text, ean text, supplier text, title text, short_description text, "
                 "price_cents integer, date_released text, image_url text, attributes jsonb)")
        with gzip.open(REAL, "rt", newline="") as file, shop.connection.cursor() as cursor:
            cursor.copy_expert("COPY products FROM STDIN (FORMAT csv, HEADER)", file)
        body["connectionConfig"] = shop.config(table="products")
    job = suite.sync(datasource(suite, **body)["id"], limit=3000)
    assert job["status"] == "completed" and job["totalRecords"] == 19_406, job
    for query, word in {"noise cancelling headphones": "head", "laser printer for the office": "laser", "bag for a laptop": "laptop",
                        "memory card for a camera": "card", "wireless mouse": "mouse"}.items():
        hits = suite.search(body["qdrantCollection"], query, limit=5)["hits"]
        print(query, [hit["payload"]["title"] for hit in hits])
        assert any(word in str(hit["payload"]).lower() for hit in hits), hits
