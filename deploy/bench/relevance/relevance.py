"""How well a search finds: nDCG@10 and recall of the three modes on hand-written judgments of real products.

`judgments.json`: queries, each with grades (3 what was asked for, 2 near it, 1 of some use, 0 the rest). A grade is a rule over the
whole catalogue, so that no product is left unjudged: all of its patterns match and none of the others. The first grade that fits
counts. A pattern is a regular expression over title and short description; `title:`, `supplier:` and `code:` (number, title and
description without separators) look elsewhere. The development set was used to choose weights, the report set is only measured.

`broad.json` has queries of one to three words as shoppers type them ("laptop", "hdmi cables", "samsung monitor", "wirless mouse"), in
the same form: 3 is the kind of thing itself, 1 what goes with it. Its authors wrote the rules, read the titles of the first ten that
each mode and one more way of fusing found with their grades, and mended the rules where a shopper would say otherwise, before anything
was tuned with them.

    REAL_PRODUCTS=.../electronics-products.csv.gz make bench BENCH=relevance
"""
import csv
import gzip
import json
import math
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
MODES = ("semantic", "lexical", "hybrid")
KINDS = ("words", "paraphrase", "code", "broad", "all")
# Fields as a shop would map them: what is embedded, and codes beside it.
FIELDS = {"title": "title", "description": "short_description", "supplier": "supplier", "sku": "sku", "ean": "ean"}


def read_products(path):
    csv.field_size_limit(sys.maxsize)
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        products = list(csv.DictReader(file))
    bare = lambda text: re.sub("[^a-z0-9]", "", text.lower())
    for product in products:
        text = product["title"] + "\n" + product["short_description"]
        eans = re.split(r"\W+", product["ean"])
        codes = [bare(product["sku"]), *map(bare, text.split()), bare(product["title"]), *eans, *(ean.lstrip("0") for ean in eans)]
        product.update({"": text, "code": " ".join(codes)})
    return products


class Judgment:
    def __init__(self, entry):
        self.set, self.kind, self.query = entry["set"], entry["kind"], entry["query"]
        pattern = lambda text: next(
            ((field, re.compile(text[len(field) + 1:], re.I | re.S)) for field in ("title", "supplier", "code") if text.startswith(field + ":")),
            ("", re.compile(text, re.I | re.S)))
        self.grades = [(grade["grade"], [pattern(text) for text in grade["all"]], [pattern(text) for text in grade["none"]])
                       for grade in entry["grades"]]

    def grade(self, product):
        for grade, wanted, unwanted in self.grades:
            if all(look.search(product[field]) for field, look in wanted) and not any(look.search(product[field]) for field, look in unwanted):
                return grade
        return 0

    def relevant(self, products):
        return {product["id"]: grade for product in products if (grade := self.grade(product))}


def ndcg(found, relevant, depth=10):
    gain = lambda grades: sum((2 ** grade - 1) / math.log2(rank + 2) for rank, grade in enumerate(grades))
    return gain(relevant.get(key, 0) for key in found[:depth]) / gain(sorted(relevant.values(), reverse=True)[:depth])


def recall(found, relevant, depth=100):
    return len(set(found[:depth]) & set(relevant)) / min(depth, len(relevant))


def load():
    judgments = []
    for name in ("judgments.json", "broad.json"):
        with open(os.path.join(HERE, name), encoding="utf-8") as file:
            judgments += [Judgment(entry) for entry in json.load(file)]
    return judgments


def fill(suite, path, collection="relevance"):
    """Syncs the real products; answers their collection."""
    with open(path, "rb") as source, open(os.path.join(suite.files, "products.csv.gz"), "wb") as file:
        file.write(source.read())
    source = suite.expect("POST", "/api/datasources", {
        "name": collection, "type": "csv", "connectionConfig": {"path": "products.csv.gz"},
        "fieldMapping": {"id": "id", **FIELDS}, "embeddingFields": ["title", "description"], "qdrantCollection": collection})
    job = suite.sync(source["id"], limit=3000)
    assert job["status"] == "completed" and job["failedRecords"] == 0, job
    return collection


def evaluate(suite, collection, products, judgments):
    """{(set, mode, kind): (nDCG@10, recall@100, queries, median ms)}"""
    values = {}
    for judgment in judgments:
        relevant = judgment.relevant(products)
        assert relevant, f"nothing is relevant to {judgment.query!r}"
        for mode in MODES:
            answer = suite.search(collection, judgment.query, mode=mode, limit=100)
            assert answer["mode"] == mode, answer
            found = [hit["key"] for hit in answer["hits"]]
            for kind in (judgment.kind, "all"):
                values.setdefault((judgment.set, mode, kind), []).append((ndcg(found, relevant), recall(found, relevant), answer["tookMs"]))
    mean = lambda numbers: sum(numbers) / len(numbers)
    return {key: (mean([v[0] for v in all_]), mean([v[1] for v in all_]), len(all_), sorted(v[2] for v in all_)[len(all_) // 2])
            for key, all_ in values.items()}
