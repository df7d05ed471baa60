"""Every deployment for real: started, verified, loaded, recorded, and gone afterwards."""

import os
import subprocess
from pathlib import Path

import psutil
import pytest

from bench.catalog import load_catalog
from bench.model import Run, Trial
from bench.report import figures
from bench.services.nginx import find_nginx
from bench.store import load_run, run_as_json
from tests.integration.harness import CHECKOUT, DEADLINE, PROGRAM, Ended, pure_json, run

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

needs_nginx = pytest.mark.skipif(find_nginx() is None, reason="nginx is not installed")

SMALL = ("--requests", "40", "--concurrency", "10", "--delay", "0.1")
MIB = 1024**2


def call(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(PROGRAM), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        timeout=DEADLINE,
    )


def assert_sound(trial: Trial, run: Run, folder: Path) -> None:
    """Every figure is there, possible, and in step with the others."""
    assert trial.failure is None
    assert trial.valid
    measured, proof = trial.measurement, trial.verification
    assert measured is not None
    assert proof is not None

    assert measured.requests == trial.load.requests
    assert not any(measured.failures.values())
    assert measured.generator.startswith("ab 2.")
    assert run.workload.body is not None
    assert measured.body_bytes == proof.body_bytes == len(run.workload.body)
    assert measured.bytes_received >= measured.requests * measured.body_bytes
    assert measured.requests_per_second == pytest.approx(
        measured.requests / measured.seconds, rel=0.02
    )
    assert run.workload.delay is not None
    assert measured.latency is not None
    assert run.workload.delay <= measured.latency.p50 <= measured.latency.p99
    assert measured.latency.p99 <= measured.latency.max <= measured.seconds + 0.001
    assert measured.client_cpu_seconds is not None
    assert 0 < measured.client_cpu_seconds < measured.seconds + 1

    assert proof.delay is not None
    assert proof.fastest >= proof.delay * 0.98
    assert proof.served_at_once is not None
    assert 1 <= proof.served_at_once <= proof.requests

    assert set(trial.seconds) >= {"start", "verify", "warm-up", "load", "stop"}
    assert trial.seconds["load"] >= measured.seconds
    assert_cost(trial, run)
    assert_traces(trial, folder)


def assert_cost(trial: Trial, run: Run) -> None:
    roles = {"server", "api"}
    roles |= {"postgres"} if "database" in run.workload.uses else set()
    roles |= {"nginx"} if trial.deployment.proxy else set()
    assert set(trial.usage) >= roles
    assert trial.measurement is not None
    cores = psutil.cpu_count() or 1
    for name in roles:
        usage = trial.usage[name]
        assert 0 <= usage.cpu_seconds <= (trial.seconds["load"] + 1) * cores
        assert usage.memory_bytes is not None
        assert 1 * MIB < usage.memory_bytes < 4096 * MIB
        assert 1 <= usage.processes_before <= usage.threads_before
        assert 1 <= usage.processes_during <= usage.threads_during
    server = trial.usage["server"]
    assert server.cpu_seconds > 0
    # the dev server alone is one process; gunicorn and uWSGI have a master beside the workers
    assert server.processes_during >= (trial.deployment.workers or 0) + 1 - (
        trial.deployment.workers is None
    )
    if trial.deployment.threads and trial.deployment.server == "uwsgi":
        assert server.threads_during >= trial.deployment.processes * trial.deployment.threads
    if trial.deployment.slots_without_bound:
        assert server.threads_during > trial.load.concurrency // 2


def assert_traces(trial: Trial, folder: Path) -> None:
    raw = folder / trial.folder
    for name in ("ab.txt", "ab.err", "ab.tsv", "server.log"):
        assert (raw / name).is_file(), name
    assert trial.measurement is not None
    requests = trial.measurement.requests
    assert f"Complete requests:      {requests}" in (raw / "ab.txt").read_text()
    assert len((raw / "ab.tsv").read_text().splitlines()) == requests + 1
    assert any(path.suffix == ".csv" for path in raw.iterdir())
    assert trial.environment["FLASK_APP"] == "app:app"
    command = " ".join(trial.commands["server"])
    for file in trial.deployment.command:
        if file.startswith("{flask_app}/"):
            assert file.replace("{flask_app}", "flask_app") in command
    if trial.deployment.proxy:
        copied = raw / "nginx" / "conf.d" / Path(trial.deployment.proxy).name
        directives = (CHECKOUT / trial.deployment.proxy).read_text().splitlines()
        plain = [line for line in directives if "${" not in line]
        assert set(plain) <= set(copied.read_text().splitlines())


def assert_run(ended: Ended, *, deployments: int) -> Run:
    assert ended.code == 0, ended.err
    found = ended.run
    assert pure_json(ended.out) == pure_json(run_as_json(found))
    assert found.status == "complete"
    assert found.finished is not None
    assert found.finished >= found.started
    assert len(found.trials) == len(found.planned) == deployments
    assert [t.deployment.name for t in found.trials] == [name for _, name in found.planned]
    assert {t.folder for t in found.trials} <= {path.name for path in ended.folder.iterdir()}
    assert found.machine.cores == psutil.cpu_count()
    assert {"flask", "gevent", "gunicorn", "ab"} <= set(found.machine.versions)
    assert found.id == ended.folder.name
    assert (ended.results / "latest").resolve() == ended.folder.resolve()
    assert f"saved in {ended.folder}" in ended.err
    return found


@needs_nginx
def test_one_call_of_an_api_measures_all_that_suit_it(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    ended = run(tmp_path, "run", *SMALL, "--json")
    record = assert_run(ended, deployments=9)

    for trial in record.trials:
        with subtests.test(deployment=trial.deployment.name):
            assert_sound(trial, record, ended.folder)
            assert trial.database_connections is None
            assert "DATABASE_URL" not in trial.environment
            proof = trial.verification
            assert proof is not None
            assert proof.served_at_once is not None
            if trial.deployment.name == "devserver":
                assert proof.served_at_once == 1
            else:
                assert proof.served_at_once >= 2
    by_name = {trial.deployment.name: trial for trial in record.trials}
    assert by_name["devserver"].load.concurrency == 5
    assert by_name["gevent-uwsgi"].load.concurrency == 10


@needs_nginx
def test_one_call_with_a_database_measures_all_ten(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    ended = run(tmp_path, "run", "--workload", "db", *SMALL, "--json")
    record = assert_run(ended, deployments=10)

    for trial in record.trials:
        with subtests.test(deployment=trial.deployment.name):
            assert_sound(trial, record, ended.folder)
            connections = trial.database_connections
            assert connections is not None
            assert connections <= 80
            each = int(trial.environment["DB_POOL_SIZE"])
            assert each * trial.deployment.processes == connections
            assert ":***@127.0.0.1:" in trial.environment["DATABASE_URL"]
    with subtests.test("the control is seen to serve one, and its verdict says so"):
        control = ended.trial("gevent-uwsgi-blocking")
        assert control.verification is not None
        assert control.verification.served_at_once == 1
        patched = ended.trial("gevent-uwsgi").verification
        assert patched is not None
        assert patched.served_at_once is not None
        assert patched.served_at_once > 1
        report = call("report", str(ended.folder))
        assert report.returncode == 0
        assert "gevent-uwsgi-blocking: blocking: the database driver blocks" in " ".join(
            report.stdout.split()
        )


@pytest.mark.parametrize(
    ("workload", "load"),
    [
        ("hello", ("--requests", "50")),
        ("cpu", ("--requests", "20")),
        ("busy", ("--duration", "1")),
    ],
)
def test_the_workloads_that_compute(tmp_path: Path, workload: str, load: tuple[str, ...]) -> None:
    ended = run(
        tmp_path, "run", "gevent-pywsgi", "--workload", workload, *load, "--concurrency", "5"
    )
    assert ended.code == 0, ended.err
    trial = ended.trial("gevent-pywsgi")
    assert trial.valid
    assert trial.measurement is not None
    assert trial.measurement.failed == 0
    assert trial.measurement.requests >= (trial.load.requests or 10)
    if workload == "cpu":  # 20 ms of computing each, on one core
        assert trial.usage["server"].cpu_seconds >= 20 * 0.02 * 0.8
        assert trial.measurement.requests_per_second <= 52


class TestTwoRuns:
    def test_they_are_kept_apart_reported_and_compared(self, tmp_path: Path) -> None:
        arguments = ("gevent-pywsgi", "--workload", "hello", "--requests", "60", "--concurrency")
        first = run(tmp_path, "run", *arguments, "5")
        base = first.folder
        second = run(tmp_path, "run", *arguments, "5", "--seed", "9")
        assert (first.code, second.code) == (0, 0), first.err + second.err
        (new,) = (
            path for path in first.results.iterdir() if path.name != "latest" and path != base
        )
        assert load_run(base).id == base.name
        assert load_run(new).seed == 9
        assert (first.results / "latest").resolve() == new.resolve()

        self.assert_table(second, new)
        self.assert_report(new)
        self.assert_comparison(base, new)

    def assert_table(self, ended: Ended, folder: Path) -> None:
        record = load_run(folder)
        assert "\x1b" not in ended.out + ended.err
        (row,) = [line for line in ended.out.splitlines() if line.startswith("gevent-pywsgi ")]
        measured = record.trials[0].measurement
        assert measured is not None
        assert row.split()[1] == figures.rate(measured.requests_per_second)
        assert "1 trial of hello" in ended.err
        assert "1/1 gevent-pywsgi: " in ended.err

    def assert_report(self, folder: Path) -> None:
        report = call("report", str(folder))
        assert report.returncode == 0, report.stderr
        assert "gevent-pywsgi" in report.stdout
        assert "| gevent-pywsgi |" in (folder / "report.md").read_text()

    def assert_comparison(self, base: Path, new: Path) -> None:
        compared = call("compare", str(base), str(new))
        assert compared.returncode in {0, 1, 4}, compared.stderr
        assert "gevent-pywsgi" in compared.stdout
        assert base.name in compared.stdout
        assert new.name in compared.stdout


def test_settings_and_path_reach_the_server(tmp_path: Path) -> None:
    ended = run(
        *(tmp_path, "run", "sync-gunicorn", "--workload", "hello", "--requests", "10"),
        *("--concurrency", "2", "--workers", "2", "--threads", "3", "--url-path", "/healthz"),
    )
    assert ended.code == 0, ended.err
    trial = ended.trial("sync-gunicorn")
    assert (trial.environment["WORKERS"], trial.environment["THREADS"]) == ("2", "3")
    assert (trial.deployment.workers, trial.deployment.threads) == (2, 3)
    assert trial.usage["server"].processes_during == 3
    assert trial.measurement is not None
    assert trial.measurement.command[-1].endswith("/healthz")
    assert trial.measurement.body_bytes == len("healthy\n")


def test_every_deployment_of_the_catalog_is_started_here() -> None:
    ours = [d for d in load_catalog().deployments.values() if d.group is None]
    assert len(ours) == 10
