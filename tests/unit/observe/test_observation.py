import csv
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.observe.canary import spin
from bench.observe.observation import Observation
from bench.observe.sampler import Sampler, snapshot

SERVER = """
import socket
with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
    print(listener.getsockname()[1], flush=True)
    held = []
    while True:
        held.append(listener.accept())
"""


class Ledger:
    """A guardian that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []

    def watch(self, pid: int, /) -> None:
        self.told.append(("watch", pid))

    def release(self, pid: int, /) -> None:
        self.told.append(("release", pid))


def test_a_load_on_a_server_seen_from_all_sides(tmp_path: Path) -> None:
    ledger = Ledger()
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        roles = {"server": (server.pid,), "nginx": (2**22 + 1,)}
        idle = snapshot(roles)
        assert list(idle) == ["server"]
        observation = Observation(roles, ledger)
        with (
            observation,
            subprocess.Popen([sys.executable, "-c", "sum(range(10**9))"]) as client,
        ):
            connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
            observation.watch(client.pid)
            time.sleep(1.3)
            client.kill()
            client.wait()
            observation.release(client.pid)
            for connection in connections:
                connection.close()
        server.kill()
    assert ledger.told == [("watch", client.pid), ("release", client.pid)]

    usage = observation.usage(idle)
    assert set(usage) == {"server", "harness", "client"}
    assert usage["client"].cpu_seconds > 0.1
    assert usage["server"].threads_before == usage["server"].threads_during == 1
    assert (usage["server"].memory_bytes or 0) > 1_000_000
    if sys.platform == "linux":
        assert usage["server"].connections["ESTABLISHED"] == 20
        assert usage["client"].connections["ESTABLISHED"] == 20
        counters = observation.surroundings().counters
        assert counters["server.backlog"] == 50
        assert 15 <= counters["server.1.connections"] <= 20
        assert counters["cpu_user_seconds"] > 0

    observation.write(tmp_path / "samples.csv")
    rows = list(csv.DictReader((tmp_path / "samples.csv").read_text().splitlines()))
    times = [float(row["seconds"]) for row in rows if row["role"] == "server"]
    assert len(times) >= 6
    assert times == sorted(times)
    assert times[0] < 0.1


def test_it_ends_once_although_it_is_left_twice() -> None:
    observation = Observation({}, Ledger())
    with observation:
        observation.release(os.getpid())
    before = observation.surroundings()
    assert observation.surroundings() == before


def test_a_failing_load_ends_it_too() -> None:
    observation = Observation({"server": (os.getpid(),)}, Ledger())
    with pytest.raises(RuntimeError), observation:
        raise RuntimeError
    assert observation.usage({})["server"].processes_during == 1


def test_samples_keep_to_the_clock() -> None:
    sampler = Sampler({"server": (os.getpid(),)}, interval=0.02)
    sampler.start()
    time.sleep(0.5)
    sampler.stop()
    # First and last, and 25 by the clock; a busy machine may skip a few, never add up delays.
    assert 15 <= len(sampler._of("server")) <= 30


def test_the_canary_takes_time() -> None:
    assert 0.001 < spin() < 5
