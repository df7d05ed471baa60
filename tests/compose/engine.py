"""A Docker engine for the tests: the one that runs, or one of our own for as long as they last.

``python -m tests.compose.engine`` runs all tests of this folder on it, ``… --check`` only says
whether it could. Both end with 2, and the remedy, where no engine can be had.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.errors import BenchError, MissingToolError
from bench.services.docker import Docker, find_docker

ROOT = Path(__file__).resolve().parents[2]
STANDINS = Path(__file__).parent / "standins"
IMAGES = {"python": "python:3.13-slim-bookworm", "postgres": "postgres:17", "nginx": "nginx:1.28"}
"""Folder of the stand-in → the official image that compose/services.yml names."""
DEBIAN = "flask-bench-tests/debian"
PACKAGES = "ca-certificates,python3,python3-venv,libpython3-dev"
MIRROR = "http://deb.debian.org/debian"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
STARTS_WITHIN = 30.0
ONE_PER_TARGET = ("devserver", "gevent-pywsgi", "gevent-gunicorn", "gevent-uwsgi")
TOGETHER = ("-n", "auto", "--dist", "worksteal", "--timeout", "500")
CALLS = (
    ("tests/compose/test_eject.py", "tests/compose/test_files.py", *TOGETHER),
    # one by one: they look at all that the harness has in the engine
    ("tests/compose/test_runner.py",),
)
"""Arguments of pytest."""


def why_not() -> str | None:
    """Return why there can be no engine here, with the remedy; ``None``: there can."""
    for program in ("docker", "docker-compose"):
        if not shutil.which(program) and program == "docker":
            return "docker is not installed: `sudo apt install docker.io docker-compose`"
    try:
        find_docker({})
    except MissingToolError as error:
        return str(error)
    except BenchError as error:
        if os.geteuid() or not shutil.which("dockerd") or "not running" not in str(error):
            return str(error)
    return None


@contextmanager
def engine(log: Path) -> Iterator[Docker]:
    """Yield the engine that runs, or start one that keeps all it has in a folder of its own."""
    try:
        yield find_docker({})
    except MissingToolError:
        raise
    except BenchError:
        pass
    else:
        return
    own = tempfile.TemporaryDirectory(prefix="flask-bench-docker-", dir="/var/tmp")
    with own as folder, _started(Path(folder), log) as docker:
        yield docker


@contextmanager
def _started(folder: Path, log: Path) -> Iterator[Docker]:
    socket = f"unix://{folder}/docker.sock"
    command = [
        *("dockerd", "--host", socket, "--data-root", str(folder / "data")),
        *("--exec-root", str(folder / "exec"), "--pidfile", str(folder / "pid")),
    ]
    os.environ["DOCKER_HOST"] = socket
    with log.open("wb") as stream:
        daemon = subprocess.Popen(command, stdout=stream, stderr=stream, start_new_session=True)
    try:
        yield _answering(daemon, log)
    finally:
        daemon.terminate()
        daemon.wait()
        del os.environ["DOCKER_HOST"]


def _answering(daemon: subprocess.Popen[bytes], log: Path) -> Docker:
    until = time.monotonic() + STARTS_WITHIN
    while True:
        try:
            return find_docker({})
        except BenchError as error:
            if daemon.poll() is not None or time.monotonic() > until:
                end = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
                raise BenchError(f"dockerd does not start: {error}\n{end}") from error
        time.sleep(0.2)


def provide_images(docker: Docker) -> list[str]:
    """See that the official images are there: pulled, or else made; return those that were made."""
    made: list[str] = []
    for name, image in IMAGES.items():
        if _succeeds(docker, "image", "inspect", image) or _succeeds(docker, "pull", "-q", image):
            continue
        if not made and not _succeeds(docker, "image", "inspect", DEBIAN):
            _import_debian(docker)
        _build(docker, STANDINS / name, image)
        made.append(image)
    return made


def _import_debian(docker: Docker) -> None:
    """Make Debian's root, 40 to 60 s; as an archive it is kept for the next time."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flask-bench"
    archive = cache / f"debian-{PACKAGES.replace(',', '-')}.tar"
    if not archive.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
            root = Path(folder) / "root"
            include = f"--include={PACKAGES}"
            _run(["debootstrap", "--variant=minbase", include, "bookworm", str(root), MIRROR])
            without = (
                "--exclude=./var/cache/apt/archives/*.deb",
                "--exclude=./var/lib/apt/lists/*",
            )
            partial = archive.with_suffix(".partial")
            _run(["tar", "-C", str(root), *without, "-cf", str(partial), "."])
            partial.replace(archive)
    docker.call("import", str(archive), DEBIAN, within=120)


def _build(docker: Docker, context: Path, image: str) -> None:
    """Build a stand-in; the certificates that this machine trusts go along."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(context, folder, dirs_exist_ok=True)
        shutil.copyfile(CERTIFICATES, Path(folder) / CERTIFICATES.name)
        docker.call("build", "--build-arg", f"DEBIAN={DEBIAN}", "-t", image, folder, within=600)


def _succeeds(docker: Docker, *arguments: str) -> bool:
    try:
        docker.call(*arguments, within=300)
    except BenchError:
        return False
    return True


def _run(command: Sequence[str]) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if ended.returncode:
        raise BenchError(f"{command[0]} failed: {(ended.stderr or ended.stdout)[-500:]}")


def build_all(docker: Docker) -> None:
    """Build every target once, so that the tests find them."""
    for deployment in ONE_PER_TARGET:
        file = ROOT / "compose" / f"{deployment}.yml"
        nothing: dict[str, str] = {}
        docker.call_compose(
            file, "flask-bench-test-build", "build", settings=nothing, within=900, finish_within=5
        )


def run_tests(folder: Path) -> int:
    """Run the tests and return pytest's status."""
    with engine(folder / "dockerd.log") as docker:
        made = provide_images(docker)
        print(  # noqa: T201
            f"engine {docker.engine_version}, Compose {docker.compose_version};"
            f" stand-ins: {', '.join(made) or 'none'}",
            flush=True,
        )
        try:
            build_all(docker)
            return max(_pytest(*words) for words in CALLS)
        finally:
            # under official names they must not be taken for official ones
            for image in made:
                _succeeds(docker, "rmi", image)


def _pytest(*words: str) -> int:
    return subprocess.run(
        [sys.executable, "-m", "pytest", *words], cwd=ROOT, check=False
    ).returncode


def main() -> int:
    """Do what the command line says."""
    if reason := why_not():
        print(f"NOTHING WAS TESTED. {reason}", file=sys.stderr)  # noqa: T201
        return 2
    if "--check" in sys.argv:
        return 0
    try:
        with tempfile.TemporaryDirectory() as folder:
            return run_tests(Path(folder))
    except BenchError as error:
        print(f"NOTHING WAS TESTED. {error}", file=sys.stderr)  # noqa: T201
        return 2


if __name__ == "__main__":
    sys.exit(main())
