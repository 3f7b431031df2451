"""Bad input gets a 4xx or a SyncError that names the place and the field; the other rows go on; nothing crashes."""
import os

import ledger
import pytest
from suite import SERVICES, free_port, request
from test_pipeline import csv_source, write_file

NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(autouse=True)
def nothing_crashes(suite):
    pids = {name: suite[name].pid for name in SERVICES}
    yield
    assert {name: suite[name].pid for name in SERVICES if suite[name].is_running} == pids, "a service ended"


def problem(answer, status):
    assert answer.status == status, answer
    assert answer.headers["Content-Type"].startswith("application/problem+json"), answer.headers["Content-Type"]
    return answer.json


# Datasources

@pytest.mark.parametrize("method, path", [
    ("GET", f"/api/datasources/{NOBODY}"), ("PUT", f"/api/datasources/{NOBODY}"), ("DELETE", f"/api/datasources/{NOBODY}"),
    ("POST", f"/api/sync/full/{NOBODY}"), ("GET", f"/api/sync/jobs/{NOBODY}"), ("POST", f"/api/sync/jobs/{NOBODY}/cancel"),
    ("POST", f"/api/sync/jobs/{NOBODY}/resume"), ("GET", f"/api/sync/errors/{NOBODY}"), ("GET", "/api/datasources/not-a-uuid"),
    ("GET", "/api/nothing/here"), ("GET", f"/api/datasources/{NOBODY}/preview"),
])
def test_unknown_things_are_404(suite, method, path):
    problem(suite.call(method, path, {} if method in ("POST", "PUT") else None), 404)


@pytest.mark.parametrize("change, field", [
    ({"name": ""}, "name"), ({"type": "oracle"}, "type"), ({"fieldMapping": {"name": "name"}}, "fieldMapping"),
    ({"embeddingFields": ["colour"]}, "embeddingFields"), ({"qdrantCollection": "no spaces"}, "qdrantCollection"),
    ({"connectionConfig": {"path": "../secret.csv"}}, "connectionConfig"), ({"colour": 1}, "colour"),
])
def test_a_wrong_datasource_names_the_field(suite, change, field):
    body = problem(suite.call("POST", "/api/datasources", {**csv_source("wrong", "x.csv", "wrong"), **change}), 400)
    assert any(error["field"].startswith(field) for error in body["errors"]), body


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"name": "a\xff"}', b'{"a":' * 100 + b"1" + b"}" * 100, b"null", b'"text"'])
def test_a_body_that_is_no_json_object_is_400(suite, body):
    problem(suite.call("POST", "/api/datasources", body, headers={"Content-Type": "application/json"}), 400)


def postgres_source(suite, shops, **config):
    shop = shops(suite, "bad")
    shop.run("CREATE TABLE IF NOT EXISTS things (id text, name text)")
    return {"name": "pg", "type": "postgresql", "connectionConfig": {**shop.config(table="things"), **config},
            "fieldMapping": {"id": "id", "name": "name"}, "embeddingFields": ["name"], "qdrantCollection": "pg"}


def test_wrong_credentials_are_told_apart_from_an_unreachable_host(suite, shops):
    reasons = {}
    for case, config in {"password": {"password": "wrong"}, "host": {"port": free_port()}, "database": {"database": "nowhere"}}.items():
        answer = suite.call("POST", "/api/datasources/test-connection", postgres_source(suite, shops, **config))
        assert answer.status in (200, 400, 422, 502), answer
        assert '"ok":true' not in answer.text.replace(" ", "")
        reasons[case] = answer.text.lower()
    assert len(set(reasons.values())) == 3
    assert "password" in reasons["password"] or "credential" in reasons["password"], reasons
    assert "refused" in reasons["host"] or "reach" in reasons["host"] or "listens" in reasons["host"], reasons
    assert "nowhere" in reasons["database"], reasons
    assert not any(suite.postgres.password in reason for reason in reasons.values())


@pytest.mark.parametrize("query", [
    "SELEKT 1", "DELETE FROM things", "SELECT 1; DROP TABLE things", "SELECT * FROM no_such_table", "COPY things TO PROGRAM 'id'",
    "WITH gone AS (DELETE FROM things RETURNING id, name) SELECT * FROM gone",
    "SELECT id, name FROM things); DROP TABLE things; --", "", "SET TRANSACTION READ WRITE",
])
def test_sql_that_is_not_one_readable_select_is_refused(suite, shops, datasource, query):
    source = datasource(suite, **postgres_source(suite, shops))
    answer = suite.call("POST", f"/api/datasources/{source['id']}/validate-query", {"query": query})
    assert 400 <= answer.status < 500 or '"valid":false' in answer.text.replace(" ", ""), answer
    assert shops(suite, "bad").run("SELECT to_regclass('things')")[0][0] == "things"


def test_a_missing_key_column_is_named(suite, shops, datasource):
    source = postgres_source(suite, shops)
    source["fieldMapping"]["id"] = "code"
    made = datasource(suite, **source)
    preview = suite.call("GET", f"/api/datasources/{made['id']}/preview")
    assert 400 <= preview.status < 500 and "code" in preview.text, preview
    job = suite.sync(made["id"])
    assert job["status"] == "failed" and "code" in job["errorMessage"], job


def test_null_and_duplicate_keys_are_sync_errors(suite, shops, datasource):
    shop = shops(suite, "bad")
    shop.run("DROP TABLE IF EXISTS twice")
    shop.run("CREATE TABLE twice (id text, name text)")
    shop.run("INSERT INTO twice SELECT n::text, 'row ' || n FROM generate_series(1, 50) n")
    shop.run("INSERT INTO twice VALUES (NULL, 'no key'), ('7', 'seven again')")
    source = postgres_source(suite, shops, table=None)
    source["connectionConfig"].pop("table")
    source.update(queryTemplate="SELECT id, name FROM twice ORDER BY id LIMIT {{limit}} OFFSET {{offset}}", qdrantCollection="twice")
    job = suite.sync(datasource(suite, **source)["id"])
    assert job["status"] == "completed" and job["failedRecords"] == 2 and job["successfulRecords"] == 50, job
    errors = suite.expect("GET", f"/api/sync/errors/{job['id']}")["items"]
    assert len(errors) == 2 and all(error["errorType"] and error["errorMessage"] for error in errors), errors
    assert len(ledger.points(suite, "twice")) == 50


# Files

def csv_job(suite, datasource, name, content, **config):
    write_file(suite, f"{name}.csv", content)
    source = csv_source(name, f"{name}.csv", name)
    source["fieldMapping"] = {"id": "id", "name": "name"}
    source["embeddingFields"] = ["name"]
    source["connectionConfig"].update(config)
    job = suite.sync(datasource(suite, **source)["id"])
    return job, suite.expect("GET", f"/api/sync/errors/{job['id']}")["items"]


def test_ragged_rows_fail_alone(suite, datasource):
    job, errors = csv_job(suite, datasource, "ragged", "id,name\n1,one\n2\n3,three,extra\n4,four\n")
    assert job["status"] == "completed" and job["successfulRecords"] == 2 and job["failedRecords"] == 2, (job, errors)
    assert any("3" in error["errorMessage"] for error in errors), errors   # the line is named


def test_bad_utf8_fails_alone(suite, datasource):
    job, errors = csv_job(suite, datasource, "utf8", b"id,name\n1,one\n2,\xff\xfe\n3,three\n")
    assert job["status"] == "completed" and job["successfulRecords"] == 2 and len(errors) == 1, (job, errors)


def test_quotes_line_breaks_and_commas(suite, datasource):
    job, _ = csv_job(suite, datasource, "quoted", 'id,name\r\n1,"a ""b"", c"\r\n2,"two\nlines"\r\n')
    assert job["successfulRecords"] == 2
    found = ledger.points(suite, "quoted")
    assert found["1"][0]["name"] == 'a "b", c' and found["2"][0]["name"] == "two\nlines"


def test_a_100_mb_line_neither_crashes_nor_grows_the_harvester(suite, datasource):
    before = suite["data-harvester"].memory("VmHWM")
    job, errors = csv_job(suite, datasource, "longline", b"id,name\n1,one\n2," + b"x" * 100_000_000 + b"\n3,three\n")
    assert job["status"] == "completed" and job["successfulRecords"] == 2 and job["failedRecords"] == 1, (job, errors)
    assert suite["data-harvester"].memory("VmHWM") - before < 150 << 20, "the line was held in memory more than once"


def test_a_file_without_the_columns_or_without_bytes(suite, datasource):
    for name, content in {"nocolumns": "a,b\n1,2\n", "nobytes": ""}.items():
        job, _ = csv_job(suite, datasource, name, content)
        assert job["status"] == "failed" and job["errorMessage"], job


def test_a_missing_file_is_named(suite, datasource):
    source = csv_source("missing", "missing.csv", "missing")
    job = suite.sync(datasource(suite, **source)["id"])
    assert job["status"] == "failed" and "missing.csv" in job["errorMessage"], job


# Every service

def test_everything_but_health_and_metrics_asks_for_a_key(suite):
    for name in SERVICES:
        for path in ("/health", "/livez", "/readyz", "/metrics"):
            answer = request("GET", suite[name].url + path)
            assert answer.status == 200, (name, path, answer)
    assert "suite_http_requests_total" in request("GET", suite.url + "/metrics").text
    for method, path in (("GET", "/api/datasources"), ("POST", "/api/search"), ("GET", "/api/sync/jobs"), ("GET", "/api/collections")):
        for key in (None, "sk_wrong"):
            answer = request(method, suite.url + path, {} if method == "POST" else None, key=key)
            assert answer.status == 401, (path, answer)
    for name, path in {"embedder": "/embed", "data-processor": "/process", "data-harvester": "/sources/test"}.items():
        assert request("POST", suite[name].url + path, {}).status == 401, name


def test_embedder_and_processor_by_hand(suite):
    key = suite.internal_token
    answer = request("POST", suite["embedder"].url + "/embed", {"texts": ["a", "b", "a"]}, key=key)
    assert answer.status == 200 and len(answer.json["vectors"]) == 3, answer
    assert request("POST", suite["embedder"].url + "/embed", {"texts": "a"}, key=key).status == 400
    url = suite["data-processor"].url
    started = request("POST", url + "/process", {
        "dataset": [{"a": " x "}, {"a": 1}], "operations": [{"operation": "trim", "fields": ["a"]}]}, key=key)
    assert started.status == 202 and started.json["status"] == "started", started
    done = request("GET", f"{url}/jobs/{started.json['job_id']}?wait=10", key=key).json
    assert done["status"] == "completed" and done["data"]["data"][0]["a"] == "x", done
    assert request("GET", f"{url}/jobs/unknown", key=key).status == 404
    assert request("GET", url + "/operations", key=key).status == 200
    unknown = request("GET", suite["ai-status"].url + "/_ai_status?task_id=x", key=key)
    assert unknown.status == 404 and unknown.json["state"] == "IDLE", unknown


def test_a_wrong_configuration_is_listed_whole_and_exits_with_78(suite, binaries_folder, tmp_path):
    import subprocess
    for name in SERVICES:
        wrong = {**os.environ, **suite[name].env, "PORT": "many", "REDIS_URL": "http://x"}
        done = subprocess.run([os.path.join(binaries_folder, name)], env=wrong, capture_output=True, text=True, timeout=30)
        assert done.returncode == 78, (name, done)
        assert "PORT" in done.stderr, (name, done.stderr)
        secret = tmp_path / "token"
        secret.write_text("from a file\n")
        both = {**os.environ, **suite[name].env, "INTERNAL_TOKEN_FILE": str(secret)}
        done = subprocess.run([os.path.join(binaries_folder, name)], env=both, capture_output=True, text=True, timeout=30)
        assert done.returncode == 78 and "INTERNAL_TOKEN" in done.stderr, (name, done)
        assert suite.internal_token not in done.stderr
