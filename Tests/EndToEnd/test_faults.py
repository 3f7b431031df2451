"""The fault suite: processes are killed, held and ended while a sync runs, stores vanish; after each case the ledger must hold.

Every case changes the text of every row, syncs, does its harm meanwhile and waits for the end. The seed of the random part is printed
at the end; SUITE_SEED repeats it. `fault` is the short form in `make test`; `longfault` adds the rest in `make fault`.
"""
import os
import random
import shutil
import signal
import time

import ledger
import pytest
from running import BATCH_TEXTS, REQUESTS_IN_FLIGHT, RESULTS, SEED, Shop, wait_until
from suite import SERVICES

ROWS = 2400
BATCH = 40
IN_FLIGHT = BATCH_TEXTS * REQUESTS_IN_FLIGHT
DELAY = 0.1     # of each embedding request: a job takes at least ROWS / BATCH_TEXTS / REQUESTS_IN_FLIGHT of them, two seconds
HOLD = 6.0      # Units: seconds; longer than the lease of the suite under test, so that the held one has been given up

FAILPOINTS = """
harvester.after-claim harvester.after-read harvester.before-commit harvester.after-commit harvester.after-push
processor.after-accept processor.before-result
embedder.after-claim embedder.after-provider embedder.after-cache embedder.after-push
indexer.after-claim indexer.in-transaction indexer.after-store indexer.after-commit indexer.before-ack
orchestrator.after-create orchestrator.after-push orchestrator.after-reap
""".split()
# What `make test` runs of them: one at each kind of border.
SHORT = {
    ("harvester.after-commit", "abort"), ("embedder.after-provider", "abort"), ("indexer.after-store", "abort"),
    ("indexer.after-commit", "abort"), ("orchestrator.after-create", "abort"), ("indexer.in-transaction", "pause"),
    ("harvester.before-commit", "pause"), ("processor.before-result", "abort"),
}


def marked(values, is_short):
    return [pytest.param(*value, marks=pytest.mark.fault if is_short(value) else pytest.mark.longfault) for value in values]


def service_of(failpoint):
    name = failpoint.split(".")[0]
    return {"harvester": "data-harvester", "processor": "data-processor"}.get(name, name)


class Case:
    """One table, one collection, used by all cases in turn: each is also a sync over what the one before left."""

    def __init__(self, suite, stub):
        self.suite, self.stub, self.round = suite, stub, 0
        self.shop = Shop(suite, "faults")
        self.shop.run("CREATE TABLE things (id integer PRIMARY KEY, name text, description text, price integer)")
        self.shop.run(f"INSERT INTO things SELECT n, 'Thing ' || n, '', n FROM generate_series(1, {ROWS}) n")
        self.source = suite.expect("POST", "/api/datasources", {
            "name": "things", "type": "postgresql", "connectionConfig": self.shop.config(table="things"),
            "fieldMapping": {"id": "id", "name": "name", "description": "description", "price": "price"},
            "embeddingFields": ["name", "description"], "embedding": {"template": "{{name}}\n{{description}}"},
            "processing": [{"operation": "trim", "fields": ["name"]}], "qdrantCollection": "things"})

    def expected(self):
        rows = self.shop.run("SELECT id, name, description, price FROM things")
        return {str(id_): (f"{name}\n{description}", {"description": description, "price": price})
                for id_, name, description, price in rows}

    def new_texts(self):
        self.round += 1
        self.shop.run(f"UPDATE things SET description = 'round {self.round} of number ' || id")
        self.stub.reset()

    def start(self):
        """Starts a full sync; the orchestrator may die of it, then its job is found afterwards."""
        answer = self.suite.call("POST", f"/api/sync/full/{self.source['id']}", {"batchSize": BATCH}, timeout=10)
        return answer.json["id"] if answer.status in (200, 201, 202) else None

    def newest(self):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            answer = self.suite.call("GET", f"/api/sync/jobs?datasourceId={self.source['id']}&limit=1")
            if answer.status == 200 and answer.json["items"]:
                return answer.json["items"][0]["id"]
            time.sleep(0.1)
        raise AssertionError("no job can be found")

    def wait_for_progress(self, job_id, records):
        """Units: records of this job that are done."""
        def reached():
            answer = self.suite.call("GET", f"/api/sync/jobs/{job_id}", timeout=5)
            return answer.status == 200 and answer.json["processedRecords"] >= records
        wait_until(f"{records} records done", reached)

    def cancel_what_is_active(self):
        for status in ("pending", "running"):
            answer = self.suite.call("GET", f"/api/sync/jobs?datasourceId={self.source['id']}&status={status}")
            for job in answer.json["items"] if answer.status == 200 else []:
                self.suite.call("POST", f"/api/sync/jobs/{job['id']}/cancel", {"reason": "its case has failed"})

    def finish(self, job_id, embedder_cuts=0, lost_cache=0, limit=90):
        began = time.monotonic()
        job = self.suite.wait_for_job(job_id, limit=limit)
        took = time.monotonic() - began
        ledger.check(self.suite, self.stub, "things", self.expected(), job)
        extra = self.stub.total - ROWS
        allowed = embedder_cuts * IN_FLIGHT + lost_cache
        assert extra <= allowed, f"{extra} texts were paid twice, at most {allowed} were in flight"
        ended = [name for name, service in self.suite.services.items() if not service.is_running]
        assert not ended, f"ended by themselves: {ended}\n" + "".join(self.suite[name].log_tail(5) for name in ended)
        RESULTS.append((took, max(extra, 0)))


@pytest.fixture(scope="module")
def case(stub_suite, stub):
    yield Case(stub_suite, stub)
    stub.delay = 0.0


@pytest.fixture(autouse=True)
def everything_runs_again(case):
    case.stub.delay = DELAY
    yield
    for process in (case.suite.postgres, case.suite.redis, *case.suite.services.values()):
        if not process.is_running:
            process.start()
        process.resume()
    case.cancel_what_is_active()


def draw(name):
    return random.Random(f"{SEED}/{name}")


# Named failpoints

@pytest.mark.parametrize("failpoint, action", marked(
    [(name, action) for name in FAILPOINTS for action in ("abort", "pause")], lambda value: value in SHORT))
def test_cut_or_held_at(case, failpoint, action):
    name = service_of(failpoint)
    service = case.suite[name]
    once = failpoint.startswith("orchestrator") or failpoint == "harvester.after-claim"   # in a job
    turn = 1 if once else draw(failpoint + action).choice((1, 2))
    assert service.stop() == 0
    service.start(FAILPOINT=f"{failpoint}:{turn}:{action}")
    case.new_texts()
    job_id = case.start()
    if failpoint == "orchestrator.after-reap":   # needs somebody whose work is given back
        case.wait_for_progress(job_id, 1)
        case.suite["embedder"].kill()
        case.suite["embedder"].start()
    if action == "abort":
        wait_until(f"{failpoint} reached", lambda: not service.is_running)
        assert service.popen.returncode == -9
        service.start()
    else:
        wait_until(f"{failpoint} reached", lambda: service.state == "T")
        time.sleep(HOLD)
        service.resume()
    # A held embedder is a zombie: what it had asked for is paid, and another may have been paid for the same.
    is_cut = name == "embedder" or failpoint == "orchestrator.after-reap"
    case.finish(job_id or case.newest(), embedder_cuts=1 if is_cut else 0)


# Random moments

@pytest.mark.parametrize("name, how", marked(
    [(name, how) for name in SERVICES for how in ("kill", "hold", "term")],
    lambda value: value in {("embedder", "kill"), ("indexer", "term"), ("data-harvester", "hold"), ("embedder", "term"),
                            ("orchestrator", "kill"), ("ai-status", "kill"), ("data-processor", "term"), ("data-harvester", "term"),
                            ("orchestrator", "term"), ("ai-status", "term")}))
def test_at_a_random_moment(case, name, how):
    service = case.suite[name]
    case.new_texts()
    job_id = case.start()
    chance = draw(name + how)
    case.wait_for_progress(job_id, chance.randrange(ROWS * 3 // 4))
    time.sleep(chance.uniform(0.0, 0.2))
    if how == "kill":
        service.kill()
        service.start()
    elif how == "hold":
        service.pause()
        time.sleep(HOLD)
        service.resume()
    else:
        began = time.monotonic()
        assert service.stop(limit=12) == 0, f"SIGTERM\n{service.log_tail()}"
        print(f"{name} ended {time.monotonic() - began:.1f} s after SIGTERM")
        service.start()
    case.finish(job_id, embedder_cuts=1 if name == "embedder" and how != "term" else 0)


@pytest.mark.longfault
@pytest.mark.parametrize("turn", range(8))
def test_several_faults_in_one_job(case, turn):
    chance = draw(f"several{turn}")
    case.stub.delay = 3 * DELAY
    case.new_texts()
    job_id = case.start()
    cuts = lost = 0
    for _ in range(5):
        time.sleep(chance.uniform(0.05, 1.0))
        kind = chance.choice(("kill", "kill", "hold", "redis", "flush", "postgres"))
        service = case.suite[chance.choice(list(SERVICES))]
        print(kind, service.name)
        cuts += service.name == "embedder" and kind in ("kill", "hold")
        if kind == "kill":
            service.kill()
            service.start(wait=False)
        elif kind == "hold":
            service.pause()
            time.sleep(chance.uniform(0.2, HOLD))
            service.resume()
        elif kind == "redis":
            case.suite.redis.kill()
            case.suite.redis.start()
        elif kind == "flush":
            lost += ROWS
            case.suite.redis.flush()
        else:
            case.suite.postgres.restart()
    for service in case.suite.services.values():
        service.wait_until_ready()
    case.finish(job_id, embedder_cuts=cuts, lost_cache=lost, limit=180)


# Stores

@pytest.mark.parametrize("turn", [pytest.param(0, marks=pytest.mark.fault)] + [
    pytest.param(turn, marks=pytest.mark.longfault) for turn in range(1, 6)])
def test_redis_killed_and_restarted(case, turn):
    """Three times in a job, away for a part of a lease, or for longer than one."""
    chance = draw(f"redis{turn}")
    case.stub.delay = 3 * DELAY
    case.new_texts()
    job_id = case.start()
    for records in (200, 800, 1400):
        case.wait_for_progress(job_id, records)
        case.suite.redis.kill()
        time.sleep(chance.uniform(0.1, 2.5))
        case.suite.redis.start()
    case.finish(job_id, embedder_cuts=3)


@pytest.mark.longfault
def test_postgres_hangs(case):
    case.new_texts()
    job_id = case.start()
    case.wait_for_progress(job_id, 200)
    for pid in [case.suite.postgres.pid, *children(case.suite.postgres.pid)]:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(HOLD)
    for pid in [*children(case.suite.postgres.pid), case.suite.postgres.pid]:
        os.kill(pid, signal.SIGCONT)
    case.finish(job_id)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


@pytest.mark.fault
def test_redis_emptied(case):
    case.new_texts()
    job_id = case.start()
    case.wait_for_progress(job_id, 400)
    done = case.suite.job(job_id)["processedRecords"]
    case.suite.redis.flush()
    case.finish(job_id, embedder_cuts=1, lost_cache=ROWS - done)


# Around two thirds of a lease consumers stop in doubt, after a whole one they are dead.
@pytest.mark.parametrize("seconds", [pytest.param(1.3, marks=pytest.mark.fault)] + [
    pytest.param(seconds, marks=pytest.mark.longfault) for seconds in (1.0, 1.2, 1.4, 1.5, 1.6, 1.7, 1.8, 2.0, HOLD)])
def test_redis_hangs(case, seconds):
    case.new_texts()
    job_id = case.start()
    case.wait_for_progress(job_id, 200)
    case.suite.redis.pause()
    time.sleep(seconds)
    case.suite.redis.resume()
    case.finish(job_id, embedder_cuts=1)


@pytest.mark.parametrize("how", [pytest.param("restart", marks=pytest.mark.fault), pytest.param("kill", marks=pytest.mark.longfault)])
def test_postgres_restarted(case, how):
    case.new_texts()
    job_id = case.start()
    case.wait_for_progress(job_id, 200)
    if how == "kill":
        case.suite.postgres.kill()
        time.sleep(2)
        case.suite.postgres.start()
    else:
        case.suite.postgres.restart()
    case.finish(job_id)


@pytest.mark.parametrize("how, afterwards", marked(
    [(how, afterwards) for how in ("while it is down", "under it") for afterwards in ("sync", "resume")],
    lambda value: value in {("while it is down", "sync"), ("under it", "resume")}))
def test_the_folder_of_the_store_is_deleted(case, how, afterwards):
    case.new_texts()
    job_id = case.start()
    case.wait_for_progress(job_id, 800)
    indexer = case.suite["indexer"]
    if how == "under it":
        shutil.rmtree(case.suite.store)
    else:
        indexer.kill()
        shutil.rmtree(case.suite.store)
        indexer.start()
    job = case.suite.wait_for_job(job_id, limit=60)
    assert job["status"] == "failed" and "things" in job["errorMessage"], job
    # What was lost is known to be lost: a sync, or the job once it goes on, brings all of it, out of the cache.
    if afterwards == "resume":
        case.suite.expect("POST", f"/api/sync/jobs/{job_id}/resume")
    case.finish(job_id if afterwards == "resume" else case.start(), embedder_cuts=1)


@pytest.mark.fault
def test_a_store_lost_while_nothing_runs_is_filled_again(case):
    case.new_texts()
    case.finish(case.start())
    shutil.rmtree(case.suite.store)
    job_id = case.start()      # its rows have not changed; nothing is paid for again
    case.finish(job_id)
    assert case.suite.job(job_id)["successfulRecords"] == ROWS


@pytest.mark.fault
def test_an_older_copy_of_the_store_is_filled_again(case):
    indexer, copy = case.suite["indexer"], case.suite.store + ".copy"
    case.new_texts()
    case.finish(case.start())
    assert indexer.stop() == 0
    shutil.copytree(case.suite.store, copy)
    indexer.start()
    case.new_texts()
    case.finish(case.start())
    assert indexer.stop() == 0
    shutil.rmtree(case.suite.store)
    shutil.move(copy, case.suite.store)
    indexer.start()
    wait_until("the copy is noticed", lambda: case.suite.postgres.psql(
        "SELECT count(*) FROM record_states", database="suite", user="suite") == [["0"]])
    job_id = case.start()      # its rows have not changed; nothing is paid for again
    case.finish(job_id)
    assert case.suite.job(job_id)["successfulRecords"] == ROWS


# Messages that kill

@pytest.mark.longfault
@pytest.mark.parametrize("failpoint", ["embedder.after-claim", "indexer.after-claim"])
def test_a_claim_that_kills_its_consumer_is_taken_apart(case, failpoint):
    service = case.suite[service_of(failpoint)]
    case.new_texts()
    job_id = case.start()
    assert service.stop() == 0
    for _ in range(6):
        service.start(wait=False, FAILPOINT=f"{failpoint}:1:abort")
        wait_until(f"{failpoint} reached", lambda: not service.is_running)
        wait_until("its claim is given back", lambda: not any(name.startswith("proc:") for name in case.suite.redis.lists()))
    service.start()
    case.finish(job_id, limit=180)
    states = dict(case.suite.postgres.psql(
        f"SELECT state, count(*) FROM sync_batches WHERE job_id = '{job_id}' GROUP BY 1", database="suite", user="suite"))
    assert int(states.get("split", 0)) > 0 and "dead" not in states, states


# A job that has ended has stopped

@pytest.mark.fault
@pytest.mark.parametrize("how", ["cancelled", "failed"])
def test_a_job_that_ended_while_running_has_no_more_effect(case, how):
    case.stub.delay = 4 * DELAY
    case.new_texts()
    job_id = case.start()
    case.wait_for_progress(job_id, 200)
    if how == "cancelled":
        case.suite.expect("POST", f"/api/sync/jobs/{job_id}/cancel", {"reason": "a test"})
    else:   # by hand, past everything that would tell the services
        case.suite.postgres.psql(
            f"UPDATE sync_jobs SET status = 'failed', epoch = epoch + 1, error_message = 'marked by a test', completed_at = now() "
            f"WHERE id = '{job_id}'", database="suite", user="suite")
    at_once = effects(case)
    assert at_once < ROWS * 3 // 4, "it was nearly done: no test"
    assert case.suite.job(job_id)["status"] == how
    time.sleep(1 if how == "cancelled" else 3)
    paid = case.stub.total
    assert paid < ROWS, "everything was paid for although the job had ended"
    time.sleep(2)
    assert case.stub.total == paid, "an ended job still pays"
    assert effects(case) == at_once, "an ended job still wrote"
    assert case.suite.job(job_id)["status"] == how
    ledger.assert_quiet(case.suite)
    case.suite.expect("POST", f"/api/sync/jobs/{job_id}/resume")
    case.finish(job_id, embedder_cuts=1)


def effects(case):
    tag = f"round {case.round} of"
    return sum(1 for payload, _, _ in ledger.points(case.suite, "things").values() if payload["description"].startswith(tag))
