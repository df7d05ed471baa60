"""nginx in front of a server, with the very configuration that people copy."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.errors import MissingToolError, TrialError
from bench.processes.ports import require_free
from bench.processes.process import ServerProcess
from bench.processes.ready import wait_until_ready
from bench.services import http
from bench.services.surroundings import RunningService, Surroundings, base_environment

DEADLINE = 10.0
"""Seconds until it has to answer; it takes about 0.02 s."""

_HOST = "127.0.0.1"
_SYSTEM_PLACES = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin")
"""Where nginx lies when it is not on a normal user's PATH."""

_TEMPORARY_PATHS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def find_nginx() -> str | None:
    """Return the path of nginx; ``None`` if it is not installed."""
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), *_SYSTEM_PLACES])
    return shutil.which("nginx", path=places)


def nginx_version() -> str | None:
    """Return the version, such as ``1.22.1``; ``None`` if nginx is not installed."""
    program = find_nginx()
    if program is None:
        return None
    shown = subprocess.run([program, "-v"], capture_output=True, text=True, check=False)
    return shown.stderr.strip().rpartition("/")[2].split(" ")[0] or None


def render(template: str, values: Mapping[str, str]) -> str:
    """Fill in ``${NAME}`` for these names only: nginx has variables of its own.

    It does what ``envsubst`` does in the official image.
    """
    for name, value in values.items():
        template = template.replace(f"${{{name}}}", value)
    return template


@contextmanager
def nginx(
    surroundings: Surroundings, *, config: Path, app_address: str, port: int, backlog: int
) -> Iterator[RunningService]:
    """Run nginx on ``port`` with ``config`` (relative to the checkout) in front of ``app_address``.

    Ready means that it answers; what the app behind it says is for the caller to verify. Raises
    ``MissingToolError`` without nginx, ``TrialError`` with nginx's words for a bad configuration.
    """
    program = find_nginx()
    if program is None:
        raise MissingToolError(
            "nginx is not installed: `sudo apt install nginx-light` (or dnf, apk, brew install "
            "nginx), or leave out the nginx deployments"
        )
    address = f"{_HOST}:{port}"
    folder = surroundings.folder.resolve() / "nginx"
    values = {"BIND": address, "APP_BIND": app_address, "BACKLOG": str(backlog)}
    _write_configuration(surroundings.root, config, folder, values)
    command = _command(program, folder)
    _test_configuration(command, surroundings)
    require_free(_HOST, port)
    process = ServerProcess(
        "nginx",
        command,
        environment=base_environment(),
        cwd=folder,
        log=surroundings.folder / "nginx.log",
        guardian=surroundings.guardian,
        grace=5.0,
    )
    with process:
        # any answer: a 502 is nginx's own
        ready = http.probe(_HOST, port, "/healthz", accept=lambda _: True)
        wait_until_ready(ready, [process], deadline=DEADLINE, what="nginx")
        yield RunningService(
            name="nginx", pid=process.pid, address=address, check=process.check_running
        )


def _write_configuration(root: Path, config: Path, folder: Path, values: Mapping[str, str]) -> None:
    """Lay the files out as they lie in ``/etc/nginx``, with the paths that a user may write to."""
    (folder / "conf.d").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(root / "nginx" / "nginx.conf", folder / "nginx.conf")
    source = root / config
    (folder / "conf.d" / source.name).write_text(render(source.read_text(), values))
    local = "".join(f"{name}_temp_path temp/{name};\n" for name in _TEMPORARY_PATHS)
    (folder / "temp").mkdir(exist_ok=True)
    (folder / "conf.d" / "local.conf").write_text(local)


def _command(program: str, folder: Path) -> list[str]:
    directives = f'daemon off; pid "{folder}/nginx.pid";'
    if os.geteuid() == 0:
        # workers run as nobody by default, who cannot enter a checkout in root's home
        directives += " user root;"
    # stderr is the log; without -e nginx first complains that it may not write to /var/log
    return [
        *(program, "-p", f"{folder}/", "-c", f"{folder}/nginx.conf"),
        *("-e", "stderr", "-g", directives),
    ]


def _test_configuration(command: list[str], surroundings: Surroundings) -> None:
    tested = subprocess.run(
        [*command, "-t"],
        capture_output=True,
        text=True,
        check=False,
        env={**base_environment(), **surroundings.guardian.environment},
        stdin=subprocess.DEVNULL,
    )
    if tested.returncode:
        raise TrialError(f"nginx refuses its configuration:\n{tested.stderr.strip()}")
