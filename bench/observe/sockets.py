"""TCP sockets as the kernel's sock_diag tells them (Linux; sock_diag(7), inet_diag.h).

Asked directly, because everything else is too slow to be asked while a load runs. With the 73,000
sockets in TIME_WAIT that a minute of load leaves, one look took: psutil.net_connections 644 ms,
/proc/net/tcp 146 ms before any parsing, this 7 ms (0.03 ms for the listening sockets alone).

A listening socket's own count of drops (SK_MEMINFO_DROPS) would say whose queue was too short, but
Linux 6.18 adds one to it for every connection, refused or not: so it is left alone here.

IPv4 only: that is where the harness puts everything. A netlink socket tells of the network
namespace in which it was opened, so those of containers are asked by one opened inside.
"""

import os
import socket
import struct
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

# include/net/tcp_states.h: state 1 is the first.
STATES = (
    "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE",
    "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING",
)  # fmt: skip
_LISTEN, _TIME_WAIT = (1 << STATES.index(state) + 1 for state in ("LISTEN", "TIME_WAIT"))
_ALL = (1 << len(STATES) + 1) - 2

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_REQUEST = struct.Struct("=BBBBI48x")  # inet_diag_req_v2, any address
_DONE, _ERROR = 3, 2
_LENGTH = struct.Struct("=I")
# inet_diag_msg: family, state, timer, retransmits, ports, addresses, interface, cookie, expiry,
# receive and send queue, user, inode. For a listening socket the queues are the connections that
# wait in it and the most that may.
_MESSAGE = struct.Struct("=BBBB2s2s44x4xIIII")
_STATE, _LOCAL, _REMOTE = 17, 20, 22  # offsets from the start of the whole message
_BUFFER = 1 << 18
_TIMEOUT = 2.0
"""Seconds for an answer; the kernel's is there at once or never."""


@dataclass(frozen=True)
class Listener:
    """One listening socket."""

    port: int
    inode: int
    waiting: int
    """Connections in its accept queue."""
    backlog: int
    """The most that may wait there."""


def open_netlink() -> socket.socket:
    """Open a socket that answers for the network namespace of the calling thread.

    Raises OSError if the kernel has no sock_diag.
    """
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        raise OSError("no netlink on this system")
    netlink = socket.socket(family, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)
    netlink.settimeout(_TIMEOUT)
    return netlink


def listeners(netlink: socket.socket | None = None) -> list[Listener] | None:
    """Return all listening sockets; ``None``: this system does not tell.

    Args:
        netlink: who answers; ``None``: a new one, for the namespace of this process.

    """
    try:
        return [
            _listener(data, at)
            for data, offsets in _batches(_LISTEN, netlink)
            for at in offsets.tolist()
        ]
    except (OSError, struct.error):
        return None


def connections(
    local: Collection[int],
    remote: Collection[int],
    *,
    time_wait: bool = False,
    netlink: socket.socket | None = None,
) -> tuple[dict[int, Counter[str]], dict[int, Counter[str]]] | None:
    """Count connections by state, for these local and for these remote ports; ``None``: not told.

    Args:
        local: ports of servers: their side of the connections.
        remote: the same ports seen from the clients' side.
        time_wait: those too, which have no process any more and can be very many.
        netlink: who answers; ``None``: a new one, for the namespace of this process.

    """
    # Asked for by themselves, because their messages are shorter: see _split.
    questions = (_ALL & ~_LISTEN & ~_TIME_WAIT, *([_TIME_WAIT] if time_wait else []))
    ours: dict[int, Counter[str]] = {port: Counter() for port in local}
    theirs: dict[int, Counter[str]] = {port: Counter() for port in remote}
    try:
        for data, offsets in chain.from_iterable(
            _batches(question, netlink) for question in questions
        ):
            state = _column(data, offsets + _STATE)
            for counts, at in ((ours, _LOCAL), (theirs, _REMOTE)):
                port = _column(data, offsets + at) * 256 + _column(data, offsets + at + 1)
                for wanted, counter in counts.items():
                    numbers, times = np.unique(state[port == wanted], return_counts=True)
                    for number, count in zip(numbers, times, strict=True):
                        counter[STATES[number - 1]] += int(count)
    except (OSError, struct.error):
        return None
    return ours, theirs


def inodes_of(pids: Iterable[int]) -> set[int]:
    """Return the inodes of the sockets that these processes hold; those one may not look at: none.

    Two microseconds per descriptor: for the start of a load, not for its course.
    """
    found = set()
    for pid in pids:
        with suppress(OSError):
            for descriptor in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208 - cheaper
                with suppress(OSError):
                    kind, _, inode = os.readlink(f"/proc/{pid}/fd/{descriptor}").partition(":[")  # noqa: PTH115
                    if kind == "socket":
                        found.add(int(inode[:-1]))
    return found


def _column(data: bytes, offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.frombuffer(data, np.uint8)[offsets].astype(np.int64)


def _listener(data: bytes, at: int) -> Listener:
    _, _, _, _, port, _, waiting, backlog, _, inode = _MESSAGE.unpack_from(data, at + _HEADER.size)
    return Listener(int.from_bytes(port, "big"), inode, waiting, backlog)


def _batches(
    states: int, netlink: socket.socket | None
) -> Iterator[tuple[bytes, npt.NDArray[np.int64]]]:
    """Ask for sockets in these states; yield each packet of the answer and where messages begin.

    Raises OSError if the kernel has no sock_diag or forbids it.
    """
    request = _REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 0, states)
    head = _HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 1, 0)
    with nullcontext(netlink) if netlink else open_netlink() as asked:
        asked.send(head + request)
        last = False
        while not last:
            data = asked.recv(_BUFFER)
            offsets, last = _split(data)
            yield data, offsets


def _split(data: bytes) -> tuple[npt.NDArray[np.int64], bool]:
    """Return where the messages of a packet begin, and whether it was the last packet.

    They come in runs of one length each, and a run is found at once: one by one, 50,000 sockets
    take 160 ms.
    """
    runs, at = [np.empty(0, np.int64)], 0
    while at + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, at)
        if kind == _DONE:
            return np.concatenate(runs), True
        if kind == _ERROR or length < _HEADER.size or length % _LENGTH.size:
            raise OSError("sock_diag refused the question")
        most = (len(data) - at) // length
        words = np.frombuffer(data, np.uint32, most * length // _LENGTH.size, at)
        alike = words[:: length // _LENGTH.size] == length
        count = most if alike.all() else int(np.argmin(alike))
        runs.append(at + length * np.arange(max(1, count)))
        at += length * max(1, count)
    return np.concatenate(runs), False
