"""The whole suite as one object: PostgreSQL, Redis and the six services, each started, stopped, killed or held by itself.

Python's standard library only (3.9+). `make run`, the smoke test, the end-to-end and fault tests and the bench start it here.
"""
import glob
import hashlib
import json
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Started in this order, stopped in the reverse one.
SERVICES = {
    "ai-status": 8005,
    "indexer": 8002,
    "embedder": 8001,
    "data-processor": 8004,
    "data-harvester": 8003,
    "orchestrator": 8000,
}


class StartError(Exception):
    """Something did not start; the message ends with what it printed."""


def is_free(port, host="127.0.0.1"):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            return True
        except OSError:
            return False


GIVEN_PORTS = set()


def free_port():
    """Below the ports that the kernel gives to outgoing connections (from 32768): one of those could take the port of a server
    while it starts or restarts, or connect to itself there."""
    while True:
        port = random.randrange(10_000, 32_768)
        if port in GIVEN_PORTS:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        GIVEN_PORTS.add(port)
        return port


def postgres_binaries():
    """Debian keeps the server's programs out of PATH."""
    found = glob.glob("/usr/lib/postgresql/*/bin/postgres")
    found.sort(key=lambda path: int(path.split("/")[4]) if path.split("/")[4].isdigit() else 0)
    binary = found[-1] if found else shutil.which("postgres")
    if not binary:
        raise StartError("no PostgreSQL server on this machine: deploy/scripts/setup.sh run")
    return os.path.dirname(binary)


def reachable_folder(folder, user):
    """`folder`, or one in the temporary folder when `user` cannot get there (a checkout under a home with mode 0700)."""
    os.makedirs(folder, exist_ok=True)
    if os.getuid() != 0:
        return folder
    probe = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--", "test", "-x", folder]
    if subprocess.run(probe, stderr=subprocess.DEVNULL).returncode == 0:
        return folder
    name = "semantic-ingestion-" + hashlib.sha256(folder.encode()).hexdigest()[:10]
    other = os.path.join(tempfile.gettempdir(), name)
    os.makedirs(other, exist_ok=True)
    if os.stat(other).st_uid not in (0, pwd.getpwnam(user).pw_uid):
        raise StartError(f"{other} belongs to somebody else: remove it, or set TMPDIR")
    os.chmod(other, 0o711)
    return other


def memory(pid, field):
    """Bytes: VmRSS now, VmHWM at most, RssAnon without the pages of files."""
    with open(f"/proc/{pid}/status") as status:
        return next((int(line.split()[1]) * 1024 for line in status if line.startswith(field + ":")), 0)


class Process:
    """One program in a session of its own (Ctrl-C does not reach it); the kernel ends it when the thread that started it ends."""

    def __init__(self, name, argv, log, env=None, user=None, stop_signal=signal.SIGTERM, death_signal="KILL"):
        self.name, self.argv, self.log, self.env, self.user = name, argv, log, dict(env or {}), user
        self.stop_signal, self.death_signal = stop_signal, death_signal
        self.popen = None
        self.is_paused = False

    def spawn(self, extra_env=None):
        prefix = ["setpriv", "--pdeathsig", self.death_signal]
        if self.user and os.getuid() == 0:
            prefix += [f"--reuid={self.user}", f"--regid={self.user}", "--init-groups"]
        with open(self.log, "ab") as log:
            self.popen = subprocess.Popen(
                prefix + ["--"] + self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env={**os.environ, **self.env, **(extra_env or {})}, start_new_session=True, cwd=ROOT)
        self.is_paused = False

    @property
    def pid(self):
        return self.popen.pid

    @property
    def is_running(self):
        return self.popen is not None and self.popen.poll() is None

    @property
    def state(self):
        """The kernel's letter: R, S, T (held by SIGSTOP), Z; '-' when it is gone."""
        try:
            with open(f"/proc/{self.pid}/stat") as stat:
                return stat.read().rsplit(")", 1)[1].split()[0]
        except (OSError, AttributeError):
            return "-"

    def send(self, number):
        if self.is_running:
            self.popen.send_signal(number)

    def pause(self):
        self.send(signal.SIGSTOP)
        self.is_paused = True

    def resume(self):
        self.send(signal.SIGCONT)
        self.is_paused = False

    def kill(self):
        self.send(signal.SIGKILL)
        return self.wait(10)

    def stop(self, limit=15):
        """Asks it to end and answers its exit code; `None` when it had to be killed."""
        if not self.is_running:
            return self.popen.returncode if self.popen else 0
        self.resume()
        self.send(self.stop_signal)
        code = self.wait(limit)
        if code is None:
            self.kill()
        return code

    def wait(self, limit):
        try:
            return self.popen.wait(limit)
        except subprocess.TimeoutExpired:
            return None

    def log_tail(self, lines=25):
        try:
            with open(self.log, errors="replace") as log:
                return "".join(log.readlines()[-lines:])
        except OSError:
            return ""

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self, field):
        return memory(self.pid, field)


class PostgresServer(Process):
    """A private PostgreSQL: TCP on 127.0.0.1 only, passwords asked for."""

    def __init__(self, folder, log, port, password, options=()):
        self.folder = reachable_folder(folder, "postgres")
        self.data = os.path.join(self.folder, "data")
        self.port, self.password, self.binaries = port, password, postgres_binaries()
        argv = [f"{self.binaries}/postgres", "-D", self.data, "-p", str(port)]
        for option in ("listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200", "shared_buffers=128MB",
                       "max_wal_size=2GB", *options):
            argv += ["-c", option]
        super().__init__("postgres", argv, log, user="postgres", stop_signal=signal.SIGINT, death_signal="QUIT")

    def initialise(self):
        # Whose data this is: where .run/ was removed and made again, the data outside of it is of the one before.
        owner = os.path.join(self.folder, "owner")
        mine = hashlib.sha256(self.password.encode()).hexdigest()
        if os.path.exists(owner):
            with open(owner) as file:
                if file.read() == mine:
                    return
        shutil.rmtree(self.data, ignore_errors=True)   # of another, or of an initdb that was cut off
        if os.getuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        secret = os.path.join(self.folder, "password")
        with open(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(self.password + "\n")
        if os.getuid() == 0:
            os.chown(secret, account.pw_uid, account.pw_gid)
        init = Process("initdb", [
            f"{self.binaries}/initdb", "-D", self.data, "-U", "postgres", "--auth=scram-sha-256", f"--pwfile={secret}",
            "--no-sync", "--locale=C.UTF-8", "-E", "UTF8"], self.log, user="postgres")
        init.spawn()
        code = init.wait(120)
        os.unlink(secret)
        if code != 0:
            raise StartError("initdb failed\n" + init.log_tail())
        with open(owner, "w") as file:
            file.write(mine)

    def start(self):
        self.initialise()
        deadline = time.monotonic() + 60
        while True:
            self.spawn()
            while self.is_running:
                ready = [f"{self.binaries}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
                if subprocess.run(ready).returncode == 0:
                    return
                time.sleep(0.02)
            # The children of a killed postmaster need a moment to go.
            if time.monotonic() > deadline:
                raise StartError("PostgreSQL did not start\n" + self.log_tail())
            time.sleep(0.1)

    def restart(self):
        self.stop()
        self.start()

    def url(self, database="suite", user="suite", password=None):
        return f"postgresql://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def psql(self, *statements, database="postgres", user="postgres", stdin=None):
        """Runs statements, one transaction each; answers the rows as text, fields divided by tabs."""
        command = ["psql", "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", self.url(database, user)]
        for statement in statements:
            command += ["-c", statement]
        done = subprocess.run(command, stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise StartError("psql: " + done.stderr.replace(self.password, "***"))
        return [line.split("\t") for line in done.stdout.splitlines()]

    def make_database(self, name, owner):
        """A role that is no superuser, and its database; nothing when they are there already."""
        if not self.psql(f"SELECT 1 FROM pg_roles WHERE rolname = '{owner}'"):
            self.psql(f"CREATE ROLE {owner} LOGIN PASSWORD '{self.password}' NOSUPERUSER")
        if not self.psql(f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
            self.psql(f"CREATE DATABASE {name} OWNER {owner}")


class RedisServer(Process):
    """A private Redis as the queues need it: append-only file, no eviction."""

    def __init__(self, folder, log, port, options=()):
        os.makedirs(folder, exist_ok=True)
        self.port, self.url = port, f"redis://127.0.0.1:{port}"
        super().__init__("redis", [
            "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--appendonly", "yes",
            "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction", "--enable-debug-command", "local",
            "--daemonize", "no", "--loglevel", "warning", *options], log)

    def start(self):
        self.spawn()
        deadline = time.monotonic() + 60
        while self.is_running and time.monotonic() < deadline:
            if self.command("PING") == "+PONG":
                return
            time.sleep(0.01)
        raise StartError("Redis did not start\n" + self.log_tail())

    def restart(self):
        self.stop()
        self.start()

    def command(self, *words):
        """The raw answer of one command, for small answers; `None` when nobody answers."""
        request = b"*%d\r\n" % len(words) + b"".join(
            b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in map(str, words))
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(request)
                return connection.recv(65536).decode(errors="replace").strip()
        except OSError:
            return None

    def flush(self):
        return self.command("FLUSHALL")

    def lists(self):
        """Length of every list: {name: elements}. (By redis-cli: an answer may be long.)"""
        script = ("local found = {} for _, key in ipairs(redis.call('KEYS', '*')) do if redis.call('TYPE', key).ok == 'list' then "
                  "found[#found + 1] = key .. '=' .. redis.call('LLEN', key) end end return found")
        output = subprocess.run(["redis-cli", "-p", str(self.port), "EVAL", script, "0"], stdout=subprocess.PIPE, text=True).stdout
        return {name: int(count) for name, _, count in (line.rpartition("=") for line in output.split()) if name}

    def keys(self, pattern="*"):
        output = subprocess.run(["redis-cli", "-p", str(self.port), "KEYS", pattern], stdout=subprocess.PIPE, text=True).stdout
        return [line for line in output.splitlines() if line]


class ServiceProcess(Process):
    """One of the six."""

    def __init__(self, name, binary, port, log, env):
        super().__init__(name, [binary], log, env=env, death_signal="TERM")
        self.port, self.url = port, f"http://127.0.0.1:{port}"

    def start(self, wait=True, **extra_env):
        self.spawn(extra_env)
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self, limit=60, path="/readyz"):
        deadline = time.monotonic() + limit
        last = "no answer"
        while time.monotonic() < deadline:
            if not self.is_running:
                raise StartError(f"{self.name} ended with code {self.popen.returncode}\n{self.log_tail()}")
            answer = request("GET", self.url + path, timeout=5)
            if answer.status == 200:
                return
            last = answer.text[:500] or last
            time.sleep(0.01)
        raise StartError(f"{self.name} is not ready after {limit} s: {last}\n{self.log_tail()}")


class LoneIndexer(ServiceProcess):
    """An indexer without the suite, as somebody's Qdrant: its store in `data`, a port of its own."""

    def __init__(self, binary, data, log, key=None, env=None):
        self.data, port = data, free_port()
        super().__init__("indexer", binary, port, log, {
            "STORE_ONLY": "true", "DATA_DIR": data, "PORT": str(port), "HOST": "127.0.0.1", "QDRANT_API_KEY": key or "",
            "LOG_LEVEL": "warning", "ACCESS_LOG": "false", **(env or {})})


class Answer:
    """What an HTTP request brought; status 0 when nothing did."""

    def __init__(self, status, body, headers=None):
        self.status, self.body, self.headers = status, body, headers or {}

    @property
    def text(self):
        return self.body.decode(errors="replace")

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.text[:600]}>"


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def request(method, url, body=None, key=None, headers=None, timeout=30):
    """Never raises for an answer or for a server that is not there. `body`: bytes as they are, anything else as JSON."""
    headers = dict(headers or {})
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        headers.setdefault("Content-Type", "application/json")
    if key:
        headers["Authorization"] = "Bearer " + key
    call = urllib.request.Request(url, data=body, method=method, headers=headers)
    try:
        with _opener.open(call, timeout=timeout) as answer:
            return Answer(answer.status, answer.read(), answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read(), error.headers)
    except (OSError, ValueError) as error:
        return Answer(0, str(error).encode())


class Suite:
    """Six services over a PostgreSQL and a Redis of their own. `folder` holds everything; a second start goes on with it."""

    def __init__(self, folder, binaries, ports=None, env=None, model=None, database_options=(), redis_options=(), say=None):
        self.folder = os.path.abspath(folder)
        self.logs = os.path.join(self.folder, "logs")
        os.makedirs(self.logs, exist_ok=True)
        self.say = say or (lambda text: None)
        self.secrets = self._load_secrets()
        self.admin_key, self.internal_token = self.secrets["admin_key"], self.secrets["internal_token"]
        path = lambda name: os.path.join(self.folder, name)
        log = lambda name: os.path.join(self.logs, name + ".log")
        self.postgres = PostgresServer(
            path("postgres"), log("postgres"), free_port(), self.secrets["database_password"], database_options)
        self.redis = RedisServer(path("redis"), log("redis"), free_port(), redis_options)
        self.files = path("files")     # the mounted folder of file sources
        self.store = path("store")     # the embedded vector store
        for folder_ in (self.files, self.store):
            os.makedirs(folder_, exist_ok=True)
        ports = ports or {name: free_port() for name in SERVICES}
        address = lambda name: f"http://127.0.0.1:{ports[name]}"
        self.env = {
            "HOST": "127.0.0.1",
            "DATABASE_URL": self.postgres.url("suite"),
            "REDIS_URL": self.redis.url,
            "DATA_DIR": self.store,
            "FILES_DIR": self.files,
            "SECRETS_KEY": self.secrets["secrets_key"],
            "INTERNAL_TOKEN": self.internal_token,
            "ADMIN_API_KEY": self.admin_key,
            "ORCHESTRATOR_URL": address("orchestrator"),
            "EMBEDDER_URL": address("embedder"),
            "INDEXER_URL": address("indexer"),
            "DATA_HARVESTER_URL": address("data-harvester"),
            "DATA_PROCESSOR_URL": address("data-processor"),
            "AI_STATUS_URL": address("ai-status"),
            "LOG_FORMAT": "json",
        }
        if model:
            self.env["EMBEDDING_MODEL_DIR"] = model
        self.env.update(env or {})
        self.services = {
            name: ServiceProcess(name, os.path.join(binaries, name), ports[name], log(name), {**self.env, "PORT": str(ports[name])})
            for name in SERVICES
        }
        self.url = self.services["orchestrator"].url

    def __getitem__(self, name):
        return {"postgres": self.postgres, "redis": self.redis}.get(name) or self.services[name]

    def _load_secrets(self):
        path = os.path.join(self.folder, "secrets.json")
        try:
            with open(path) as file:
                return json.load(file)
        except (OSError, ValueError):
            made = {
                "secrets_key": secrets.token_hex(32), "internal_token": secrets.token_urlsafe(32),
                "admin_key": "sk_" + secrets.token_urlsafe(32), "database_password": secrets.token_hex(16),
            }
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump(made, file, indent=2)
            return made

    # Life

    def start(self):
        self.start_servers()
        self.start_services()

    def start_servers(self):
        self.postgres.start()
        self.redis.start()
        self.postgres.make_database("suite", "suite")

    def start_services(self, names=None, env=None):
        """All at once, then waits for each. `env`: {service: {variable: value}}"""
        chosen = [self.services[name] for name in names or SERVICES]
        for service in chosen:
            service.spawn((env or {}).get(service.name))
        for service in chosen:
            service.wait_until_ready()

    def stop_services(self, limit=15):
        """Answers {name: exit code}."""
        running = [service for service in reversed(list(self.services.values())) if service.is_running]
        for service in running:
            service.resume()
            service.send(service.stop_signal)
        codes = {}
        for service in running:
            codes[service.name] = service.wait(limit)
            if codes[service.name] is None:
                service.kill()
        return codes

    def stop(self):
        codes = self.stop_services()
        self.redis.stop()
        self.postgres.stop()
        return codes

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    # The public API

    def call(self, method, path, body=None, key=None, headers=None, timeout=30):
        return request(method, self.url + path, body, key if key is not None else self.admin_key, headers, timeout)

    def expect(self, method, path, body=None, statuses=(200, 201, 202, 204), **options):
        answer = self.call(method, path, body, **options)
        if answer.status not in statuses:
            raise StartError(f"{method} {path}: {answer}")
        return answer.json if answer.body else None

    def job(self, job_id):
        return self.expect("GET", f"/api/sync/jobs/{job_id}")

    def wait_for_job(self, job_id, limit=300, progress=None, interval=0.1):
        """Until it is completed, failed or cancelled. A service may be down meanwhile."""
        deadline = time.monotonic() + limit
        job = None
        while time.monotonic() < deadline:
            answer = self.call("GET", f"/api/sync/jobs/{job_id}", timeout=5)
            if answer.status == 200:
                job = answer.json
                if progress:
                    progress(job)
                if job["status"] in ("completed", "failed", "cancelled"):
                    return job
            time.sleep(interval)
        raise StartError(f"job {job_id} has not ended after {limit} s: {job}")

    def sync(self, datasource_id, kind="full", options=None, **wait):
        started = self.expect("POST", f"/api/sync/{kind}/{datasource_id}", options or {})
        return self.wait_for_job(started["id"], **wait)

    def search(self, collection, query, **options):
        return self.expect("POST", "/api/search", {"collection": collection, "query": query, **options})


def binaries(configuration):
    return os.path.join(ROOT, ".build", configuration)


if __name__ == "__main__":
    sys.exit("suite.py is a module: see run.py")
