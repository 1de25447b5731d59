"""Pods have addresses of IPv4, of IPv6, or of both; the kubelet and Prometheus use whichever comes first."""

from __future__ import annotations

import socket
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry

from catchup_jobs.adapters.exporter.server import serving

# What it answers on, by where it listens.
ANSWERS = {"": {"127.0.0.1", "[::1]"}, "127.0.0.1": {"127.0.0.1"}, "::1": {"[::1]"}}


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ANSWERS, ids=lambda host: host or "all addresses")
def test_the_exporter_answers_on_the_addresses_that_it_was_given_and_on_all_by_default(host: str) -> None:
    def answers(address: str, port: int) -> bool:
        try:
            with urlopen(f"http://{address}:{port}/healthz", timeout=10) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    with serving(CollectorRegistry(), host=host, port=0) as port:
        assert {address for address in ANSWERS[""] if answers(address, port)} == ANSWERS[host]
