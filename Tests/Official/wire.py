"""Requests to the indexer, each of them and each answer checked against Qdrant's OpenAPI document."""
import functools
import json
import os
import re

import jsonschema
import referencing.jsonschema
from indexer_process import KEY
from suite import request

with open(os.path.join(os.path.dirname(__file__), "qdrant-openapi.json")) as file:
    DOCUMENT = json.load(file)


def draft7(schema):
    """OpenAPI 3.0 says `nullable` where JSON Schema has the type null."""
    if isinstance(schema, list):
        return [draft7(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return {"$ref": "urn:qdrant" + schema["$ref"]}
    converted = {name: draft7(part) for name, part in schema.items() if name != "nullable"}
    if schema.get("nullable") is True:
        if "type" in converted:
            converted["type"] = [converted["type"], "null"]
            if "enum" in converted:
                converted["enum"] = converted["enum"] + [None]
        elif not converted or converted == {"deprecated": True}:
            converted = {"type": "null"}
    return converted


CONVERTED = draft7(DOCUMENT)
REGISTRY = referencing.Registry().with_resource("urn:qdrant", referencing.jsonschema.DRAFT7.create_resource(CONVERTED))


@functools.lru_cache(None)
def validator(path, method, part):
    operation = CONVERTED["paths"][path][method.lower()]
    if part == "request":
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
    else:
        answers = operation["responses"]
        answer = answers.get(part) or answers.get(part[0] + "XX") or answers["default"]
        content = answer.get("content", {})
        if "application/json" not in content:
            return None
        schema = content["application/json"]["schema"]
    return jsonschema.Draft7Validator(schema, registry=REGISTRY)


class Answer:
    def __init__(self, status, text, headers):
        self.status, self.text, self.headers = status, text, headers
        self.body = json.loads(text) if text[:1] in "{[" else None

    @property
    def ok(self):
        return self.status == 200

    @property
    def result(self):
        assert self.ok, self.text
        return self.body["result"]

    @property
    def error(self):
        assert not self.ok, self.text
        return self.body["status"]["error"]


class Wire:
    """`call("POST", "/collections/{collection_name}/points/query", body)`; names of the path in `names`."""
    def __init__(self, url, collection="c"):
        self.url, self.collection = url, collection

    def send(self, method, target, body=None):
        """`body`: bytes as they are, anything else as JSON."""
        answer = request(method, self.url + target, body, headers={"api-key": KEY, "Content-Type": "application/json"})
        return Answer(answer.status, answer.text, answer.headers)

    def call(self, method, path, body=None, query="", malformed=False, **names):
        """`malformed`: the body is meant not to be of the documented form."""
        names = {"collection_name": self.collection, **names}
        if body is not None and not malformed:
            validator(path, method, "request").validate(body)
        answer = self.send(method, re.sub(r"\{(\w+)\}", lambda name: str(names[name[1]]), path) + query, body)
        check = validator(path, method, str(answer.status))
        if check:
            errors = [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}" for error in check.iter_errors(answer.body)]
            assert not errors, f"{method} {path} {body} -> {answer.text[:2000]}: {errors}"
        return answer

    # What most tests do.
    def create(self, **settings):
        self.call("DELETE", "/collections/{collection_name}")
        assert self.call("PUT", "/collections/{collection_name}", settings).result is True

    def info(self):
        return self.call("GET", "/collections/{collection_name}").result

    def points(self, method, kind, body, query="?wait=true", **more):
        return self.call(method, "/collections/{collection_name}/points" + kind, body, query if method == "PUT" or kind.startswith(("/delete", "/payload", "/vectors", "/batch")) else "", **more)

    def upsert(self, points, **more):
        answer = self.points("PUT", "", {"points": points, **more})
        assert answer.result["status"] == "completed"

    def get(self, id):
        return self.call("GET", "/collections/{collection_name}/points/{id}", id=id)

    def retrieve(self, ids, **more):
        return self.points("POST", "", {"ids": ids, **more}).result

    def scroll(self, **body):
        return self.points("POST", "/scroll", body).result["points"]

    def query(self, **body):
        return self.points("POST", "/query", body).result["points"]

    def ids(self, **body):
        return [point["id"] for point in self.query(**body)]

    def count(self, **body):
        return self.points("POST", "/count", body).result["count"]
