"""Which role's sockets are in which network namespace, and how to ask there (Linux).

A container has a network of its own: the kernel tells of its sockets only to who asks from inside.
"""

import ctypes
import os
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from bench.observe import sockets
from bench.observe.kernel import network_of
from bench.observe.processes import Role

_CLONE_NEWNET = 0x40000000  # linux/sched.h


@dataclass
class View:
    """The listening roles of one network namespace, and who tells of their sockets."""

    netlink: socket.socket | None
    """``None``: the harness's own namespace, for which any new socket answers."""
    ports: dict[str, set[int]] = field(default_factory=dict)
    """Role → the ports on which it listens; roles that listen on none are absent."""

    @property
    def is_own(self) -> bool:
        """Whether the harness and its load generator are in it too."""
        return self.netlink is None

    def listeners(self) -> list[sockets.Listener]:
        """Return all listening sockets; none if it is not told."""
        return sockets.listeners(self.netlink) or []

    def close(self) -> None:
        """Let go of the namespace, which would outlive its container otherwise."""
        if self.netlink:
            self.netlink.close()


def views_of(roles: Mapping[str, Role]) -> list[View]:
    """Return one view for each namespace that a role is in; where one may not look: none."""
    own = network_of("self")
    views: dict[int | None, View | None] = {}
    for name, role in roles.items():
        if role.alone:
            continue
        pid, network = _place(role, own)
        if network not in views:
            views[network] = View(None) if network == own else _inside(pid)
        if view := views[network]:
            held = sockets.inodes_of(role.members)
            if ports := {each.port for each in view.listeners() if each.inode in held}:
                view.ports[name] = ports
    return [view for view in views.values() if view]


def _place(role: Role, own: int | None) -> tuple[int, int | None]:
    """Return a process of a role and its namespace; without any process there is only our own."""
    known = ((pid, network) for pid in role.roots if (network := network_of(pid)))
    return next(known, (os.getpid(), own))


def _inside(pid: int) -> View | None:
    try:
        return View(open_inside(pid))
    except OSError:
        return None


def open_inside(pid: int) -> socket.socket:
    """Open a netlink socket in the network namespace of a process; it stays there.

    Raises OSError without the right to enter (CAP_SYS_ADMIN), or if the process is gone.
    """
    namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        # In a thread of its own, which ends with that: it is a thread that enters a namespace.
        with ThreadPoolExecutor(1, thread_name_prefix="namespace") as thread:
            return thread.submit(_enter_and_open, namespace).result()
    finally:
        os.close(namespace)


def _enter_and_open(namespace: int) -> socket.socket:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET):  # os.setns is there from Python 3.12 on
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return sockets.open_netlink()
