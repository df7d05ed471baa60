"""Kubernetes manifests: the containers of what makes pods."""

from collections.abc import Iterator
from typing import Any

from bench.doctor.configuration.formats.located_yaml import Located
from bench.doctor.configuration.formats.text import TextFile
from bench.doctor.configuration.model import Command, Setting, Settings, Supervisor
from bench.doctor.findings import Evidence

POD = {
    "Pod": ("spec",),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
    **dict.fromkeys(
        ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"),
        ("spec", "template", "spec"),
    ),
}
"""Kind → where its pods are described."""


def is_manifest(content: Located) -> bool:
    """Say whether a document is a manifest that makes pods."""
    return str(content.get("kind")) in POD and "apiVersion" in content


def read_manifest(file: TextFile, content: Located) -> Iterator[Supervisor]:
    """Yield its containers, but not those that end before the others start."""
    pod = content.within(*POD[str(content["kind"])])
    shared = list(_pod_settings(file, pod))
    containers = pod.get("containers")
    for container in containers if isinstance(containers, list) else []:
        if isinstance(container, Located):
            in_memory = _mounts_of_memory(file, pod, container)
            yield _container(file, container, [*shared, *in_memory])


def _mounts_of_memory(file: TextFile, pod: Located, own: Located) -> Iterator[Setting]:
    """Yield where a container sees volumes that are memory."""
    memory = {
        volume.get("name")
        for volume in pod.get("volumes") or ()
        if isinstance(volume, Located) and volume.within("emptyDir").get("medium") == "Memory"
    }
    for mount in own.get("volumeMounts") or ():
        if isinstance(mount, Located) and mount.get("name") in memory:
            place = file.at(mount.lines.get("mountPath"))
            yield Setting("tmpfs", str(mount.get("mountPath")).rstrip("/"), place)


def _container(file: TextFile, own: Located, shared: list[Setting]) -> Supervisor:
    words = tuple(str(w) for key in ("command", "args") for w in own.get(key) or ())
    line = own.lines.get("command") or own.lines.get("args")
    environment, variables = _environment(file, own)
    return Supervisor(
        "kubernetes",
        str(own.get("name", "container")),
        file.at(own.lines.get("name")),
        (Command(words, file.at(line)),) if words else (),
        settings=Settings((*shared, *_settings(file, own))),
        environment=environment,
        variables=variables,
    )


def _pod_settings(file: TextFile, pod: Located) -> Iterator[Setting]:
    grace = pod.get("terminationGracePeriodSeconds")
    if grace is not None:
        place = file.at(pod.lines.get("terminationGracePeriodSeconds"))
        yield Setting("stop-grace", grace, place)
    yield from _user(file, pod)
    sysctls = pod.within("securityContext").get("sysctls")
    for each in sysctls if isinstance(sysctls, list) else []:
        if isinstance(each, Located) and each.get("name") == "net.core.somaxconn":
            yield Setting("somaxconn", each.get("value"), file.at(each.lines.get("name")))


def _settings(file: TextFile, own: Located) -> Iterator[Setting]:
    yield from _user(file, own)
    if own.get("image") is not None:
        yield Setting("image", own["image"], file.at(own.lines.get("image")))


def _user(file: TextFile, own: Located) -> Iterator[Setting]:
    context = own.within("securityContext")
    if context.get("runAsUser") is not None:
        yield Setting("user", context["runAsUser"], file.at(context.lines.get("runAsUser")))
    elif context.get("runAsNonRoot") is True:
        yield Setting("user", "not root", file.at(context.lines.get("runAsNonRoot")))


def _environment(file: TextFile, own: Located) -> tuple[dict[str, str], dict[str, Evidence]]:
    values: dict[str, str] = {}
    places = {}
    entries: Any = own.get("env")
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, Located) and "value" in entry:
            name, value = str(entry.get("name")), str(entry["value"])
            values[name] = value
            places[name] = file.at(entry.lines.get("value"), f"{name}={value}")
    return values, places
