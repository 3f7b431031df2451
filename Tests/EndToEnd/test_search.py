"""Search by words, by meaning and by both, through six real processes."""
import os
import sys

import pytest
from running import MODEL, ROOT, wait_until
from suite import request
from test_pipeline import catalogue, csv_source, write_file

sys.path.insert(0, os.path.join(ROOT, "deploy", "bench", "relevance"))
import relevance  # noqa: E402

BOLTS = """id;sku;name;description;category;price
B-1;AB-1234/X;Hex bolt M8x40, zinc;Galvanised, 12mm head;Bolts;1
B-2;AB-1235/X;Hex bolt M8x50, zinc;Galvanised, 12 mm head;Bolts;1
B-3;ZZ-9;Cable wi-fi antenna;Extends the reach of a router;Radio;5
B-4;ES-1;Batería recargable para taladros;Baterías de iones de litio con instalación sencilla;Baterías;9
B-5;00088698629123;Notebook 15.6" <b>silver</b>;Light & quick for school;Computers;400
"""
for number in range(40):
    BOLTS += f"C-{number};CC-{number}00;Wooden spoon number {number};For the kitchen;Kitchen;{number}\n"


@pytest.fixture(scope="module")
def bolts(suite):
    write_file(suite, "bolts.csv", BOLTS)
    source = csv_source("bolts", "bolts.csv", "bolts")
    source["connectionConfig"]["delimiter"] = ";"
    source = suite.expect("POST", "/api/datasources", source)
    job = suite.sync(source["id"])
    assert job["successfulRecords"] == 45, job
    return source


def keys(answer):
    return [hit["key"] for hit in answer["hits"]]


@pytest.mark.parametrize("query, key", [
    ("AB-1234/X", "B-1"), ("ab1234x", "B-1"), ("AB 1235 X", "B-2"), ("spoon ZZ-9", "B-3"), ("b-4", "B-4"),
    ("88698629123", "B-5"), ("0088698629123", "B-5"), ("kitchen CC-700", "C-7"), ("m8x50", "B-2"),
])
def test_an_exact_code_comes_first(suite, bolts, query, key):
    answer = suite.search("bolts", query, limit=5)
    assert answer["mode"] == "hybrid" and keys(answer)[0] == key, answer
    assert keys(suite.search("bolts", query, limit=5, mode="lexical"))[0] == key


@pytest.mark.parametrize("query, found", [
    ("wifi", {"B-3"}), ("baterias taladro", {"B-4"}),
    ("instalacion", {"B-4"}), ("15.6 inch", {"B-5"}), ("silver", {"B-5"}), ("antennas", {"B-3"}), ("xylophone", set()),
])
def test_words_numbers_and_measures_find_what_has_them(suite, bolts, query, found):
    answer = suite.search("bolts", query, mode="lexical")
    assert set(keys(answer)) == found and answer["mode"] == "lexical" and answer["total"] == len(found), answer


@pytest.mark.parametrize("query", ["12 mm", "12mm", "12-mm"])
def test_a_measure_is_found_however_it_is_written(suite, bolts, query):
    assert set(keys(suite.search("bolts", query, mode="lexical"))[:2]) == {"B-1", "B-2"}   # then what has a 12 of another kind


def test_highlights_are_html_that_cannot_do_harm(suite, bolts):
    hit = suite.search("bolts", "silver notebooks school", limit=1)["hits"][0]
    assert hit["highlights"] == {
        "description": ["Light &amp; quick for <mark>school</mark>"],
        "name": ["<mark>Notebook</mark> 15.6&quot; &lt;b&gt;<mark>silver</mark>&lt;/b&gt;"]}, hit


def test_pages_filters_totals_and_facets(suite, bolts):
    cheap = {"must": [{"key": "category", "match": {"value": "Kitchen"}}]}
    for mode in ("hybrid", "lexical", "semantic"):
        whole = suite.search("bolts", "wooden spoon", mode=mode, limit=40, filter=cheap, facets=["category"])
        assert whole["mode"] == mode and whole["total"] == 40, whole
        assert whole["facets"] == {"category": [{"value": "Kitchen", "count": 40}]}
        pages = [suite.search("bolts", "wooden spoon", mode=mode, limit=7, offset=offset, filter=cheap) for offset in range(0, 42, 7)]
        assert [key for page in pages for key in keys(page)] == keys(whole), mode
    facets = suite.search("bolts", "bolt", facets=["category", "nothing"])["facets"]
    assert facets["nothing"] == [] and {"value": "Bolts", "count": 2} in facets["category"], facets
    assert facets["category"][0] == {"value": "Kitchen", "count": 40}
    browser = suite.expect("GET", "/api/search?collection=bolts&q=m8x50&limit=3&mode=lexical")
    assert keys(browser)[0] == "B-2" and browser["mode"] == "lexical"


def test_a_changed_payload_is_found_by_its_new_words_and_not_by_its_old(suite, bolts):
    write_file(suite, "bolts.csv", BOLTS.replace("ZZ-9", "YY-8/Q"))     # not a field that is embedded
    job = suite.sync(bolts["id"])
    assert job["successfulRecords"] == 1 and job["skippedRecords"] == 44, job
    assert "B-3" not in keys(suite.search("bolts", "ZZ-9", mode="lexical"))
    assert keys(suite.search("bolts", "yy8q", limit=1)) == ["B-3"]
    assert keys(suite.search("bolts", "wifi", mode="lexical")) == ["B-3"]


def test_words_find_while_the_embedder_is_away(suite, bolts):
    suite["embedder"].stop()
    try:
        answer = suite.search("bolts", "hex bolt M8x50", limit=3)
        assert answer["mode"] == "lexical" and "embedder" in answer["note"] and keys(answer)[0] == "B-2", answer
        refused = suite.call("POST", "/api/search", {"collection": "bolts", "query": "bolt", "mode": "semantic"})
        assert refused.status == 503, refused
    finally:
        suite["embedder"].start()
    assert suite.search("bolts", "hex bolt")["mode"] == "hybrid"


def test_a_collection_without_lexical_vectors_is_searched_by_meaning(suite):
    """One of the first release: its dense vectors only."""
    write_file(suite, "old.csv", catalogue(30))
    source = suite.expect("POST", "/api/datasources", csv_source("old", "old.csv", "old"))
    version = suite.expect("POST", "/api/collections", {"name": "old", "vectorSize": 384})["version"]
    store = f"{suite['indexer'].url}/collections/old@{version}"
    assert request("DELETE", store, key=suite.internal_token).status == 200
    made = request("PUT", store, {"vectors": {"text": {"size": 384, "distance": "Cosine"}}}, key=suite.internal_token)
    assert made.status == 200, made
    assert suite.sync(source["id"])["successfulRecords"] == 30
    answer = suite.search("old", "a cup for hot drinks", limit=3)
    assert answer["mode"] == "semantic" and "rebuild" in answer["note"] and len(answer["hits"]) == 3, answer
    refused = suite.call("POST", "/api/search", {"collection": "old", "query": "cup", "mode": "lexical"})
    assert refused.status == 409 and "rebuild" in refused.text, refused

    suite.expect("POST", "/api/collections/old/rebuild", {})    # with the same model: nothing is embedded again
    wait_until("the new version is complete", lambda: suite.expect("GET", "/api/collections/old/rebuild")["ready"], 60)
    suite.expect("POST", "/api/collections/old/switch")
    answer = suite.search("old", "travel mug", mode="lexical")
    assert answer["mode"] == "lexical" and "mug" in answer["hits"][0]["payload"]["name"].lower(), answer


@pytest.mark.skipif(not MODEL, reason="needs the language model")
def test_a_paraphrase_is_not_drowned_by_its_words(suite, bolts):
    assert "B-3" in keys(suite.search("bolts", "make the wireless network stronger", limit=2))


@pytest.mark.skipif(not (os.environ.get("REAL_PRODUCTS") and MODEL), reason="REAL_PRODUCTS names no file")
def test_both_together_find_better_than_either_alone(suite):
    path = os.environ["REAL_PRODUCTS"]
    collection = relevance.fill(suite, path)
    figures = relevance.evaluate(suite, collection, relevance.read_products(path), relevance.load())
    for chosen in ("development", "report"):
        found = {mode: figures[chosen, mode, "all"][0] for mode in relevance.MODES}
        print(chosen, found)
        assert found["hybrid"] > max(found["semantic"], found["lexical"]), (chosen, found)
