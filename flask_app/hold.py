"""Hold a server's listening socket, so that no stop and no restart loses a request.

``python hold.py uwsgi --ini uwsgi.ini``, or any server that listens on BIND. It is given the open
socket instead (BIND=fd://3), which gunicorn, uWSGI and pywsgi.py understand.

======= ===========================================================================
SIGHUP  ends the server, which finishes what is in flight, and starts it anew.
        Whoever connects in the meantime waits in the socket's queue
SIGTERM lets nobody in any more, waits until the server has taken all who are in the
        queue, and only then stops it. By itself uWSGI resets them (uwsgi#2693)
======= ===========================================================================

Settings, by environment: BIND, BACKLOG, QUEUE_TIMEOUT (10: seconds that those in the queue are
waited for). What supervises this has to grant that and the server's own time to finish. For Linux.
"""

import ctypes
import os
import signal
import socket
import struct
import sys
import time

SETTLED = 0.2  # seconds for which the queue has to be empty: longer than a handshake takes
# seconds for the queue: what is in flight needs the rest of what a supervisor grants
QUEUE_TIMEOUT = float(os.environ.get("QUEUE_TIMEOUT", "10"))
STOPS_ACCEPTING = 1.5  # seconds: gunicorn's gevent workers look once a second

HANDED_ON = 3  # the descriptor that systemd uses, too: sd_listen_fds(3)
SIGNALS = {signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
SO_ATTACH_FILTER = 26
PR_SET_PDEATHSIG = 1
# What the kernel asks of each packet to the listener: load byte 13 of the TCP header, the flags;
# where SYN (2) is set return 0, which drops the packet, else return all of it.
DROP_SYN = ((0x30, 0, 0, 13), (0x45, 0, 1, 2), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))


def listen() -> socket.socket:
    """Open the socket as the server would."""
    host, _, port = os.environ.get("BIND", "127.0.0.1:8000").rpartition(":")
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host.strip("[]"), int(port)))
    listener.listen(int(os.environ.get("BACKLOG", "4096")))  # capped by net.core.somaxconn
    return listener


def start(listener: socket.socket, command: list[str]) -> int:
    """Start the server with the socket, and return its process id."""
    child = os.fork()
    if child:
        return child
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # nothing outlives a kill -9
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.dup2(listener.fileno(), HANDED_ON)
        os.set_inheritable(HANDED_ON, True)
        os.execvpe(command[0], command, {**os.environ, "BIND": f"fd://{HANDED_ON}"})  # noqa: S606
    except OSError as error:
        sys.stderr.write(f"hold.py: {command[0]}: {error.strerror}\n")
    os._exit(127)


def stop(server: int, listener: socket.socket) -> int:
    """Let nobody in, have the server take and answer who is, and return its exit status."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in DROP_SYN))
    program = struct.pack("HP", len(DROP_SYN), ctypes.addressof(code))
    listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
    wait_until_taken(listener)
    os.kill(server, signal.SIGTERM)
    if not signal.sigtimedwait({signal.SIGCHLD}, STOPS_ACCEPTING):
        # those who knock are told now that nobody opens, and can try elsewhere
        listener.shutdown(socket.SHUT_RD)
    return status_of(os.waitpid(server, 0)[1])


def wait_until_taken(listener: socket.socket) -> None:
    """Return when the queue has been empty for a while, or after ``QUEUE_TIMEOUT``."""
    now = time.monotonic()
    settled, end = now + SETTLED, now + QUEUE_TIMEOUT
    while now < min(settled, end):
        time.sleep(0.01)
        now = time.monotonic()
        if queued(listener):
            settled = now + SETTLED


def queued(listener: socket.socket) -> int:
    """Return how many connections wait to be accepted (tcpi_unacked of struct tcp_info)."""
    info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    number: int = struct.unpack_from("I", info, 24)[0]
    return number


def status_of(status: int) -> int:
    """Return a server's exit status as a shell would."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def main() -> int:
    """Serve until SIGTERM, Ctrl-C, or the end of the server."""
    listener = listen()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    server = start(listener, sys.argv[1:])
    while True:
        number = signal.sigwait(SIGNALS)
        if number == signal.SIGHUP:
            os.kill(server, signal.SIGTERM)
            os.waitpid(server, 0)
            signal.sigtimedwait({signal.SIGCHLD}, 0)  # of the one that has ended, not of the next
            server = start(listener, sys.argv[1:])
        elif number == signal.SIGCHLD:
            ended, status = os.waitpid(server, os.WNOHANG)
            if ended:  # by itself: to start it again is for whoever supervises this
                return status_of(status)
        else:
            return stop(server, listener)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit("hold.py: give the server's command, as in: python hold.py uwsgi --ini uwsgi.ini")
    sys.exit(main())
