"""Everything that the templates are filled in with."""

import posixpath
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from bench.eject.choice import NGINX, copied_files
from bench.eject.places import Places
from bench.eject.requirements import AppRequirements
from bench.eject.server_lock import Locked, versions
from bench.model import Deployment

SERVER_STOP = 45
"""Seconds that the servers take for requests in flight, as their own files say."""
LEAVE = 5
"""Seconds between two steps of an end: for load balancers to learn of it, for nginx to go first."""
IN_IMAGE = "/deploy"
"""Where the copied files are in the image, whatever the folder is called outside of it."""
INSTALLED = "/srv"
"""Below it the units of systemd expect the app, with its virtual environment in ``.venv``."""
NOTIFY = ("gunicorn", "uwsgi")
"""Servers that tell systemd when they are up."""
TOLD_ONCE = ("/usr/bin/env", "-u", "LISTEN_PID", "-u", "LISTEN_FDS")
"""Before a command under systemd: BIND names the socket, and nothing else has to."""
PER_WORKER = {"cpu": 250, "memory": 128, "most_memory": 512}
"""Thousandths of a core and MiB that a pod asks for; the figures are those to change first."""


@dataclass(frozen=True)
class Ejection:
    """One deployment for one app, with all that is to be known of both."""

    deployment: Deployment
    """With the settings that it is to have."""
    spec: str
    """The app, its attribute always named: ``module:app`` or ``module:create_app()``."""
    name: str
    """What image, service and units are called; a DNS label."""
    image: str
    """The Python image that it is built from."""
    port: int
    health_path: str
    ready_path: str
    places: Places
    requirements: AppRequirements
    locked: tuple[Locked, ...]
    build_tools: tuple[Locked, ...]
    call: str
    """The command line that writes it again, as a shell takes it."""
    env_file: str | None = None
    """The user's own file of variables, as seen from the target; its values are not written."""
    variables: tuple[str, ...] = ()
    """The names in it."""
    own_ignore: bool = False
    """The context has a ``.dockerignore`` of the user's, which ours would take the place of."""

    # ---- the server

    @property
    def title(self) -> str:
        """What the deployment is."""
        return self.deployment.title

    @property
    def settings(self) -> Mapping[str, str]:
        """What the copied files read from the environment, but for where they listen."""
        d = self.deployment
        values = {
            "FLASK_APP": self.spec,
            "WORKERS": d.workers,
            "THREADS": d.threads,
            "ASYNC_CORES": d.async_cores,
            "BACKLOG": d.backlog,
            **d.environment,
        }
        return {name: str(value) for name, value in values.items() if value is not None}

    @property
    def versions(self) -> Mapping[str, str]:
        """Package → version, of the server and what it needs."""
        return versions(self.locked)

    @property
    def server_packages(self) -> tuple[str, ...]:
        """Those of them that nothing else of them asks for."""
        names = self.versions.keys()
        return tuple(e.requirement.name for e in self.locked if names.isdisjoint(e.wanted_by))

    @property
    def copies(self) -> Mapping[str, str]:
        """Copied file → its source in the checkout."""
        return copied_files(self.deployment)

    @property
    def entrypoints(self) -> tuple[str, ...]:
        """The copied files that the server itself reads."""
        return tuple(path for path in self.copies if not path.startswith(NGINX))

    @property
    def speaks_http(self) -> bool:
        """Whether a browser could talk to it; nginx speaks the uwsgi protocol to the other."""
        return "--protocol" not in self.deployment.command

    @property
    def notifies(self) -> bool:
        """Whether it tells systemd when it is up."""
        return self.deployment.server in NOTIFY

    @property
    def proxy(self) -> str | None:
        """The nginx configuration in front, as it lies in the folder."""
        proxy = self.deployment.proxy
        return proxy and f"{NGINX}{PurePosixPath(proxy).name}"

    @property
    def ignored(self) -> str | None:
        """The user's file of variables as the context has it: it has no place in an image."""
        if self.env_file is None:
            return None
        path = posixpath.normpath(f"{self.places.deploy}/{self.env_file}")
        return None if path.startswith("../") else path

    # ---- how it is started

    @property
    def image_command(self) -> tuple[str, ...]:
        """The command inside the image."""
        return self._command("python", IN_IMAGE)

    @property
    def local_command(self) -> str:
        """The command in the app's folder, as a shell takes it."""
        where = {"PYTHONPATH": ":".join(self._search(self.places.from_home, ""))}
        values = {**self.settings, **{name: value for name, value in where.items() if value}}
        settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in values.items())
        return f"{settings} {shlex.join(self._command('python', self.places.from_home))}"

    @property
    def unit_command(self) -> str:
        """The command of the systemd unit."""
        program, *arguments = self._command("python", self.unit_deploy)
        return shlex.join([*TOLD_ONCE, f"{self.unit_home}/.venv/bin/{program}", *arguments])

    @property
    def image_path(self) -> str:
        """``PYTHONPATH`` in the image; may be empty."""
        return ":".join(self._search(IN_IMAGE, "/app/"))

    @property
    def unit_path(self) -> str:
        """``PYTHONPATH`` under systemd; may be empty."""
        return ":".join(self._search(self.unit_deploy, f"{self.unit_home}/"))

    @property
    def unit_home(self) -> str:
        """The folder that the app is started in on a server without containers."""
        below = self.places.app or "."
        return f"{INSTALLED}/{self.name}" + ("" if below == "." else f"/{below}")

    @property
    def unit_deploy(self) -> str:
        """Where this folder is there."""
        return f"{INSTALLED}/{self.name}/{self.places.deploy}"

    def _search(self, deploy: str, home: str) -> list[str]:
        """Return what Python has to look through besides the folder that it is started in."""
        patched = [deploy] if "patched.py" in self.copies else []
        return patched + [f"{home}{path}" for path in self.places.search]

    def _command(self, python: str, deploy: str) -> tuple[str, ...]:
        values = {"python": python, "flask_app": deploy}
        return tuple(part.format_map(values) for part in self.deployment.command)

    # ---- seconds and sizes

    @property
    def stop_grace(self) -> int:
        """Seconds until Docker kills: above the server's own."""
        return SERVER_STOP + LEAVE

    @property
    def pre_stop(self) -> int:
        """Seconds before the server is told to stop; behind nginx, after nginx is."""
        return 2 * LEAVE if self.proxy else LEAVE

    @property
    def proxy_pre_stop(self) -> int:
        """Seconds before nginx is told to stop."""
        return LEAVE

    @property
    def pod_grace(self) -> int:
        """Seconds until Kubernetes kills, the wait before the signal included."""
        return self.pre_stop + SERVER_STOP + LEAVE

    @property
    def app_port(self) -> int:
        """Where the server listens in a pod, whose containers share their ports."""
        return self.port + 1 if self.proxy else self.port

    @property
    def resources(self) -> Mapping[str, int]:
        """What a pod asks for."""
        return {name: each * self.deployment.processes for name, each in PER_WORKER.items()}
