"""What the indexer has acknowledged survives kill -9 at any moment, a full disk and damage that is noticed.

SUITE_SEED repeats a run. The long form is `make durability`.
"""
import contextlib
import http.client
import json
import os
import random
import resource
import shutil
import subprocess
import tempfile
import threading
import time

import pytest
from indexer_process import KEY, Indexer, folder, running_indexer  # noqa: F401 (a fixture)

SEED = int(os.environ.get("SUITE_SEED") or random.SystemRandom().randrange(1 << 32))
DENSE, SPARSE = 24, 50


class Caller:
    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def __call__(self, method, path, body=None):
        return self.send(method, "/collections/c" + path, body)

    def send(self, method, path, body=None):
        """Status and result; for an error the whole answer."""
        self.connection.request(method, path, json.dumps(body), {"api-key": KEY, "Content-Type": "application/json"})
        answer = self.connection.getresponse()
        content = json.loads(answer.read())
        return answer.status, content["result"] if answer.status == 200 else content

    def points(self):
        """Everything, by id: payload and vectors."""
        status, found = self("POST", "/points/scroll", {"limit": 1_000_000, "with_payload": True, "with_vector": True})
        assert status == 200, found
        status, counted = self("POST", "/points/count", {"exact": True})
        assert counted["count"] == len(found["points"])
        return {point["id"]: (point["payload"] or {}, vectors_of(point["vector"])) for point in found["points"]}


def vectors_of(vector):
    found = dict(vector or {})
    if "words" in found:
        found["words"] = dict(zip(found["words"]["indices"], found["words"]["values"]))
    return found


def create(caller):
    status, answer = caller("PUT", "", {"vectors": {"text": {"size": DENSE, "distance": "Dot"}}, "sparse_vectors": {"words": {}}})
    assert status == 200, answer


# Random requests, and what they do to a model

class Writer:
    """Requests over ids of its own; knows what must be stored once they are acknowledged."""

    def __init__(self, number, draw):
        self.number, self.draw = number, draw
        self.ids = range(number * 1000, number * 1000 + 400)
        self.model = {}
        self.in_flight = None
        self.acknowledged = 0

    def vectors(self):
        made = {"text": [float(self.draw.randrange(-9, 10)) for _ in range(DENSE)]}
        if self.draw.random() < 0.7:
            made["words"] = {term: float(self.draw.randrange(1, 9)) for term in sorted(self.draw.sample(range(SPARSE), self.draw.randrange(1, 8)))}
        return made

    @staticmethod
    def sent(vectors):
        return {name: {"indices": list(value), "values": list(value.values())} if name == "words" else value for name, value in vectors.items()}

    def operation(self, model):
        """One operation as `POST /points/batch` names it; `model` is changed."""
        draw = self.draw
        some = draw.sample(self.ids, draw.randrange(1, 25))
        known = [number for number in some if number in model]
        kind = draw.choice(["upsert"] * 5 + ["delete", "delete_filter", "set_payload", "overwrite_payload", "delete_payload", "clear_payload",
                                             "update_vectors", "delete_vectors"])
        if kind == "upsert" or not known and kind != "delete_filter":
            points = []
            for number in some:
                payload, vectors = {"w": self.number, "k": draw.randrange(30), "s": draw.random()}, self.vectors()
                model[number] = (payload, vectors)
                points.append({"id": number, "vector": self.sent(vectors), "payload": payload})
            return {"upsert": {"points": points}}
        if kind == "delete":
            for number in known:
                del model[number]
            return {"delete": {"points": some}}
        if kind == "delete_filter":
            wanted = draw.randrange(30)
            for number in [number for number, (payload, _) in model.items() if payload.get("k") == wanted and payload.get("w") == self.number]:
                del model[number]
            return {"delete": {"filter": {"must": [{"key": "w", "match": {"value": self.number}}, {"key": "k", "match": {"value": wanted}}]}}}
        change = {"k": draw.randrange(30), "extra": {"deep": [draw.random()]}}
        if kind == "update_vectors":
            made = {number: self.vectors() for number in known}
            for number, vectors in made.items():
                model[number] = (model[number][0], {**model[number][1], **vectors})
            return {kind: {"points": [{"id": number, "vector": self.sent(vectors)} for number, vectors in made.items()]}}
        for number in known:
            payload, vectors = dict(model[number][0]), dict(model[number][1])
            if kind == "set_payload":
                payload.update(change)
            elif kind == "overwrite_payload":
                payload = dict(change, w=self.number)
            elif kind == "delete_payload":
                payload.pop("s", None)
            elif kind == "clear_payload":
                payload = {}
            else:
                vectors.pop("words", None)
            model[number] = (payload, vectors)
        return {kind: {"points": known, **{
            "set_payload": {"payload": change}, "overwrite_payload": {"payload": dict(change, w=self.number)},
            "delete_payload": {"keys": ["s"]}, "clear_payload": {}, "delete_vectors": {"vector": ["words"]}}[kind]}}

    def run(self, port, until):
        """Requests until the server is gone, or `until` is set."""
        caller = Caller(port)
        while not until.is_set():
            after = dict(self.model)
            operations = [self.operation(after) for _ in range(self.draw.choice([1, 1, 2, 4]))]
            self.in_flight = after
            try:
                status, answer = caller("POST", f"/points/batch?wait={self.draw.choice(['true', 'false'])}", {"operations": operations})
            except (OSError, http.client.HTTPException, ValueError):
                return
            assert status == 200, (answer, operations)
            self.model, self.in_flight = after, None
            self.acknowledged += 1

    def check(self, stored):
        mine = {number: point for number, point in stored.items() if number in self.ids}
        if self.in_flight is not None and mine == self.in_flight and mine != self.model:
            self.model = mine
        wrong = [number for number in {*mine, *self.model} if mine.get(number) != self.model.get(number)]
        assert not wrong, (f"writer {self.number}, after {self.acknowledged} requests: {len(wrong)} points are not as acknowledged, for example "
                           f"{wrong[0]}: stored {mine.get(wrong[0])}, acknowledged {self.model.get(wrong[0])}, in flight "
                           f"{(self.in_flight or {}).get(wrong[0])} (SUITE_SEED={SEED})")
        self.in_flight = None


@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=pytest.mark.longfault)])
def test_nothing_acknowledged_is_lost_by_kill_9(folder, kills):
    """Three writers of mixed requests; checkpoints and compactions run meanwhile."""
    draw = random.Random(SEED)
    indexer = Indexer(folder, INDEXER_CHECKPOINT_BYTES="300000", INDEXER_CHECKPOINT_SECONDS="1")
    create(Caller(indexer.port))
    writers = [Writer(number, random.Random(draw.random())) for number in range(3)]
    failures = []

    def guarded(writer):
        try:
            writer.run(indexer.port, threading.Event())
        except BaseException as error:
            failures.append(error)

    for _ in range(kills):
        threads = [threading.Thread(target=guarded, args=(writer,)) for writer in writers]
        for thread in threads:
            thread.start()
        threading.Event().wait(draw.uniform(0.02, 1.2))
        indexer.kill()
        for thread in threads:
            thread.join()
        assert not failures, failures
        indexer.start()
        stored = Caller(indexer.port).points()
        for writer in writers:
            writer.check(stored)
    print(f"{kills} kills, {sum(writer.acknowledged for writer in writers)} requests acknowledged")
    assert indexer.stop() == 0


# A full disk

def small_disk():
    """A folder with room for 24 MB, as a file system of its own; needs root."""
    path = tempfile.mkdtemp(prefix="indexer.disk.")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", path], capture_output=True)
    if done.returncode != 0:
        os.rmdir(path)
        pytest.skip("no file system can be mounted here")
    return path


@contextlib.contextmanager
def full_disk(how):
    """An indexer whose disk will be full, and how to make room."""
    if how == "file system":
        path = small_disk()
        try:
            with open(os.path.join(path, "filler"), "wb") as filler:
                filler.write(bytes(10 << 20))
            indexer = Indexer(os.path.join(path, "data"))
            try:
                yield indexer, lambda: os.unlink(os.path.join(path, "filler"))
            finally:
                indexer.stop()
        finally:
            subprocess.run(["umount", "-l", path], check=True)
            os.rmdir(path)
    else:
        with running_indexer() as indexer:
            hard = resource.prlimit(indexer.pid, resource.RLIMIT_FSIZE)[1]
            resource.prlimit(indexer.pid, resource.RLIMIT_FSIZE, (3 << 20, hard))
            yield indexer, lambda: resource.prlimit(indexer.pid, resource.RLIMIT_FSIZE, (hard, hard))


@pytest.mark.parametrize("how", ["file system", "file size"])
def test_a_full_disk_is_507_and_costs_nothing(how):
    with full_disk(how) as (indexer, make_room):
        caller = Caller(indexer.port)
        create(caller)
        stored, refused, number = {}, 0, 0
        while refused < 20:
            points = []
            for _ in range(100):
                number += 1
                points.append({"id": number, "vector": {"text": [float(number % 7)] * DENSE, "words": {"indices": [1, number % 50 + 2], "values": [1.0, 2.0]}},
                               "payload": {"text": f"{number} " * 300}})
            request = ("PUT", "/points?wait=true", {"points": points}) if number % 3 else (
                "POST", "/points/batch?wait=true", {"operations": [{"delete": {"points": list(stored)[:3]}}, {"upsert": {"points": points}}]})
            status, answer = caller(*request)
            if status == 200:
                if not number % 3:
                    for old in list(stored)[:3]:
                        del stored[old]
                stored.update((point["id"], (point["payload"], vectors_of(point["vector"]))) for point in points)
            else:
                refused += 1
                assert status == 507 and set(answer) == {"status", "time"} and "no space left" in answer["status"]["error"], answer
        assert stored and caller.points() == stored
        assert caller("POST", "/points/query", {"query": [1.0] * DENSE, "using": "text", "limit": 3})[0] == 200

        make_room()
        status, answer = caller("PUT", "/points?wait=true", {"points": points})
        assert status == 200, answer
        stored.update((point["id"], (point["payload"], vectors_of(point["vector"]))) for point in points)
        assert caller.points() == stored
        indexer.kill()
        indexer.start()
        assert Caller(indexer.port).points() == stored


def test_a_full_disk_is_emptied_by_deleting_a_collection():
    with full_disk("file system") as (indexer, _):
        caller = Caller(indexer.port)
        create(caller)
        change = {"actions": [{"create_alias": {"collection_name": "c", "alias_name": "products"}}]}
        assert Caller(indexer.port).send("POST", "/collections/aliases", change)[0] == 200
        points = [{"id": number, "vector": {}, "payload": {"text": f"{number} " * 3000}} for number in range(100)]
        status = 200
        while status == 200:
            status, answer = caller("PUT", "/points?wait=true", {"points": points})
        assert status == 507, answer
        with contextlib.suppress(OSError), open(os.path.join(indexer.data, "rest"), "wb", buffering=0) as rest:
            while True:
                rest.write(bytes(4096))
        assert caller("DELETE", "") == (200, True)
        create(caller)
        status, answer = caller("PUT", "/points?wait=true", {"points": points})
        assert status == 200, answer
        assert Caller(indexer.port).send("GET", "/aliases")[1] == {"aliases": []}


# Faults of the system's calls

def test_a_collection_that_could_not_be_made_is_not_there_later(folder):
    """At each number of files that the process may still open."""
    indexer = Indexer(folder)
    pid = indexer.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    caller = Caller(indexer.port)
    create(caller)
    made = {"c"}
    for free in range(1, 12):
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")) + free, hard))
        status, answer = caller("PUT", str(free), {"vectors": {"size": 4, "distance": "Dot"}})
        assert status in (200, 500), answer
        if status == 200:
            made.add(f"c{free}")
    assert 1 < len(made) < 12
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))

    def names(caller):
        return {collection["name"] for collection in caller.send("GET", "/collections")[1]["collections"]}

    assert names(caller) == made
    indexer.kill()
    indexer.start()
    assert names(Caller(indexer.port)) == made
    assert len(os.listdir(os.path.join(folder, "collections"))) == len(made)
    indexer.stop()


FAILING_SYNC = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int fdatasync(int file) {
    char link[64], path[4096] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    if (readlink(link, path, sizeof path - 1) > 0 && strstr(path, "/seg-") && access(getenv("FAILING_SYNC"), F_OK) == 0) {
        errno = EIO;
        return -1;
    }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(file);
}
"""


def test_a_sync_that_failed_once_is_not_tried_again(folder):
    """The system has dropped what it could not write, and says so once: a second sync succeeds over nothing."""
    with tempfile.TemporaryDirectory() as place:
        library, failing = os.path.join(place, "failing.so"), os.path.join(place, "failing")
        compiler = shutil.which("cc") or shutil.which("clang")
        subprocess.run([compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", library, "-ldl"], input=FAILING_SYNC.encode(), check=True)
        indexer = Indexer(folder, LD_PRELOAD=library, FAILING_SYNC=failing, INDEXER_CHECKPOINT_SECONDS="1")
        caller = Caller(indexer.port)
        create(caller)
        stored, status = {}, 200
        open(failing, "w").close()
        deadline = time.monotonic() + 30
        while status == 200 and time.monotonic() < deadline:
            point = {"id": len(stored), "vector": {}, "payload": {"n": len(stored)}}
            status, answer = caller("PUT", "/points?wait=true", {"points": [point]})
            if status == 200:
                stored[point["id"]] = (point["payload"], {})
            threading.Event().wait(0.01)
        assert status == 503 and "until a restart" in answer["status"]["error"], answer
        os.unlink(failing)
        assert caller("PUT", "/points?wait=true", {"points": [point]})[0] == 503
        with open(os.path.join(folder, "collections", os.listdir(os.path.join(folder, "collections"))[0], "manifest.json")) as manifest:
            assert json.load(manifest)["sequence"] == 0
        indexer.kill()
        indexer.start()
        assert Caller(indexer.port).points() == stored
        indexer.stop()
