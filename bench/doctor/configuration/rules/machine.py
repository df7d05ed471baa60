"""Whether kernel and supervisor grant what the servers ask for."""

from collections.abc import Iterator

from bench.doctor.configuration.model import Facts, Rule, Seen, Server, seen
from bench.doctor.configuration.rules import servers
from bench.doctor.configuration.rules.supervisors import FEW_FILES
from bench.doctor.findings import Check, Evidence
from bench.model import Deployment

CONTAINER_SOMAXCONN = 4096
"""A network namespace begins with the kernel's default, not the host's value: Linux ≥ 5.4."""


def _bound(facts: Facts, server: Server) -> float | None:
    """Return the bound on listen queues where the server runs; ``None``: not known."""
    supervisor = server.supervisor
    if supervisor is None or not supervisor.is_container:
        return facts.limits.somaxconn
    if supervisor.settings.text("network") == "host":
        return facts.limits.somaxconn
    return supervisor.settings.number("somaxconn", default=CONTAINER_SOMAXCONN)


def _listen(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("uwsgi"):
        (length, place), bound = servers.backlog(server), _bound(facts, server)
        if length is not None and bound is not None and length > bound:
            yield seen(
                f"listen is {length:g} and net.core.somaxconn {bound:g}",
                place,
                wanted=f"{length:g}",
            )


def _backlog(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("gunicorn"):
        (length, place), bound = servers.backlog(server), _bound(facts, server)
        if server.settings.last("backlog") and length and bound is not None and length > bound:
            yield seen(
                f"backlog is {length:g} and net.core.somaxconn {bound:g}",
                place,
                wanted=f"{length:g}",
            )
    for deployment in facts.deployments:
        bound = facts.limits.somaxconn
        if deployment.backlog and bound is not None and deployment.backlog > bound:
            yield seen(
                f"{deployment.name} asks for a queue of {deployment.backlog} and net.core.somaxconn"
                f" is {bound}",
                Evidence(f"[{deployment.name}] backlog = {deployment.backlog}"),
                wanted=str(deployment.backlog),
            )


def _files(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("gunicorn", "uwsgi"):
        supervisor, needed = server.supervisor, servers.files_needed(server)
        if needed is None or supervisor is None:
            continue
        setting = supervisor.settings.last("nofile")
        if setting is None and supervisor.kind != "systemd":
            continue  # what the engine grants is not known here
        granted = setting.number if setting else FEW_FILES
        if granted is not None and granted < needed:
            yield seen(
                f"{supervisor.name} grants {granted:g} files, and a worker of {server.kind} may"
                f" need {needed:g}",
                setting.evidence if setting else supervisor.evidence,
                servers.place(server, "gevent", "worker_connections", "threads"),
                needed=f"{needed:g}",
            )


def _files_here(facts: Facts) -> Iterator[Seen]:
    granted = facts.limits.open_files
    if granted is None:
        return
    for server in facts.of("gunicorn", "uwsgi"):
        needed = servers.files_needed(server)
        by_shell = server.supervisor is None or server.supervisor.kind in {"procfile", "script"}
        if by_shell and needed is not None and granted < needed:
            yield seen(
                f"a process may have {granted} files here, and a worker of {server.kind} may need"
                f" {needed:g}",
                servers.place(server, "gevent", "worker_connections", "threads"),
                needed=f"{needed:g}",
            )
    for deployment in facts.deployments:
        wanted = _wanted_by(deployment)
        if granted < wanted:
            yield seen(
                f"a process may have {granted} files here, and one of {deployment.name} may need"
                f" {wanted}",
                Evidence(f"[{deployment.name}] async_cores = {deployment.async_cores}"),
                needed=str(wanted),
            )


def _wanted_by(deployment: Deployment) -> int:
    slots = deployment.async_cores or deployment.threads or 1
    return servers.FILES_PER_REQUEST * slots + servers.FILES_BESIDE


RULES: tuple[Rule, ...] = (
    Rule(
        Check(
            "listen-above-somaxconn", "error", "uWSGI will not start",
            "uWSGI refuses a listen queue above the kernel's bound.",
            "uWSGI's source, core/socket.c; measured",
            "Raise it, sysctl -w net.core.somaxconn={wanted} (for a container: its own sysctls), or"
            " lower listen.",
        ),
        _listen,
    ),
    Rule(
        Check(
            "backlog-above-somaxconn", "warning", "The listen queue is cut down",
            "The kernel takes the lesser of the two without a word; a burst beyond it waits 1, 3 or"
            " 7 s.",
            "ip-sysctl.rst: somaxconn",
            "Raise it, sysctl -w net.core.somaxconn={wanted} (for a container: its own sysctls), or"
            " lower the backlog.",
        ),
        _backlog,
    ),
    Rule(
        Check(
            "few-files", "warning", "Fewer files than requests need",
            "Two descriptors per request under way. Without one left, connections fail or wait.",
            "systemd.exec(5): LimitNOFILE; getrlimit(2)",
            "Grant {needed} or more: LimitNOFILE= (systemd), ulimits: nofile (Compose).",
        ),
        _files,
    ),
    Rule(
        Check(
            "few-files-here", "note", "This shell grants few files",
            "A server that is started from here inherits the limit.",
            "getrlimit(2): RLIMIT_NOFILE",
            "Run ulimit -n {needed} before the start.",
        ),
        _files_here,
    ),
)  # fmt: skip
