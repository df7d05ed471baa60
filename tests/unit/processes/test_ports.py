import os
import socket
from pathlib import Path

import pytest

from bench.errors import TrialError
from bench.processes import ports


def test_ports_are_handed_out_once() -> None:
    given = [ports.free_port() for _ in range(200)]

    assert len(set(given)) == 200


def test_ports_are_outside_the_ephemeral_range(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "ip_local_port_range"
    settings.write_text("20010\t65530\n")
    monkeypatch.setattr(ports, "_EPHEMERAL", settings)

    assert ports.outside_ephemeral_range() == [*range(20000, 20010), *range(65531, 65536)]


def test_without_room_outside_the_range_the_kernel_chooses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "ip_local_port_range"
    settings.write_text("1024 65535")
    monkeypatch.setattr(ports, "_EPHEMERAL", settings)

    assert ports.outside_ephemeral_range() == []
    assert ports.free_port() > 1023


def test_a_taken_port_is_never_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        monkeypatch.setattr(ports, "outside_ephemeral_range", lambda: [taken])

        with pytest.raises(TrialError, match="no free port"):
            ports.free_port()


def test_the_holder_of_a_port_is_named() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]

        with pytest.raises(TrialError) as caught:
            ports.require_free("127.0.0.1", port)

    message = str(caught.value)
    assert f"port {port} on 127.0.0.1 is taken by process {os.getpid()} (" in message
    assert "choose another port" in message
    ports.require_free("127.0.0.1", port)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(TrialError, match="cannot listen on 192\\.0\\.2\\.1"):
        ports.require_free("192.0.2.1", 8000)
