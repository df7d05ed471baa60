"""Libraries in C that wait on their own, so that gevent cannot switch."""

from collections.abc import Iterator

from bench.doctor.facts import Facts, Rule
from bench.doctor.findings import Check, Evidence, Finding

BLOCKING = {
    "MySQLdb": ("mysqlclient", "PyMySQL (pymysql.install_as_MySQLdb())"),
    "pyodbc": ("pyodbc", "a driver in Python (python-tds), or gevent.get_hub().threadpool"),
    "cx_Oracle": ("cx_Oracle", "oracledb in its thin mode"),
    "oracledb": ("oracledb in thick mode", "its thin mode: no init_oracle_client()"),
    "ibm_db": ("ibm_db", "gevent.get_hub().threadpool"),
    "pylibmc": ("pylibmc", "pymemcache"),
    "aerospike": ("aerospike", "gevent.get_hub().threadpool"),
    "confluent_kafka": ("confluent-kafka", "kafka-python, or gevent.get_hub().threadpool"),
}
"""Module → what it is called, and what can take its place."""
ENGINE_DRIVERS = {"mysqldb": "MySQLdb", "pyodbc": "pyodbc", "cx_oracle": "cx_Oracle"}
"""SQLAlchemy's name of a driver → its module."""
GRPC_USERS = ("grpc", "google.cloud", "firebase_admin")
GRPC_READY = "grpc.experimental.gevent"

DRIVER = Check(
    "blocking-driver",
    "warning",
    "A driver in C blocks the whole process",
    "gevent patches Python's sockets only. While this driver waits, every other request of its"
    " worker waits, too.",
    "mysqlclient#464, https://www.gevent.org/intro.html#monkey-patching",
    "Instead of {name}: {instead}. Or serve with threads (sync-gunicorn, sync-uwsgi).",
)
GRPC = Check(
    "grpc-not-gevent",
    "error",
    "gRPC without its gevent mode",
    "gRPC waits in C with threads of its own: under patched threads a call hangs for good.",
    "grpc#4629, gevent#786",
    "Right after the patch: from grpc.experimental import gevent as grpc_gevent;"
    " grpc_gevent.init_gevent()",
)


def blocking(facts: Facts) -> Iterator[Finding]:
    """Find drivers that own code imports, or that an engine was made with."""
    for module, (name, instead) in BLOCKING.items():
        if module not in facts.imported.drivers:
            continue  # not there, or oracledb in thin mode
        details = {"name": name, "instead": instead}
        uses = [source.evidence(line) for source, _, line in facts.sources.imports(module)]
        uses += [
            Evidence(f"engine {engine.url}")
            for engine in facts.imported.engines
            if ENGINE_DRIVERS.get(engine.driver.lower()) == module
        ]
        if uses:
            yield Finding(DRIVER, f"{name} is used", tuple(uses), details)


def grpc(facts: Facts) -> Iterator[Finding]:
    """Find gRPC in use while nothing has told it of gevent."""
    loaded = facts.imported.drivers
    if not facts.imported.gevent or "grpc" not in loaded or GRPC_READY in loaded:
        return
    uses = [source.evidence(line) for source, _, line in facts.sources.imports(*GRPC_USERS)]
    if uses:
        yield Finding(GRPC, "init_gevent() was not called by the import", tuple(uses))


RULES: tuple[Rule, ...] = (Rule(DRIVER, blocking), Rule(GRPC, grpc))
