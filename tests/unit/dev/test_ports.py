"""Ports for the servers of tests and of the local cluster."""

from __future__ import annotations

import socket

import pytest

from catchup_dev.ports import free_port, free_ports, is_free, outgoing


def test_ports_are_free_different_and_none_that_outgoing_connections_get() -> None:
    first, last = outgoing()
    found = free_ports("127.0.0.1", 50)
    assert len(set(found)) == 50
    assert not [port for port in found if first <= port <= last]


def test_a_port_on_which_somebody_listens_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", free_port("127.0.0.1"))) as server:
        assert not is_free("127.0.0.1", server.getsockname()[1])


def test_an_address_of_another_machine_has_no_free_port() -> None:
    with pytest.raises(OSError, match="an address of this machine"):
        free_ports("192.0.2.1", 1)
