from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from catchup_contract.proxies import bypasses, proxy_for

# The table of the tests of golang.org/x/net/http/httpproxy, which kubectl uses; all hosts at port 80.
NO_PROXY = (
    "foobar.com, .barbaz.net, *.wildcard.io, 192.168.1.1, 192.168.1.2:81, 192.168.1.3:80, 10.0.0.0/30, "
    "2001:db8::52:0:1, [2001:db8::52:0:2]:443, [2001:db8::52:0:3]:80, 2002:db8:a::45/64"
)
GO = {
    "localhost": False,
    "127.0.0.1": False,
    "127.0.0.2": False,
    "::1": False,
    "::2": True,
    "192.168.1.1": False,
    "192.168.1.2": True,
    "192.168.1.3": False,
    "192.168.1.4": True,
    "10.0.0.2": False,
    "2001:db8::52:0:1": False,
    "2001:db8::52:0:2": True,
    "2001:db8::52:0:3": False,
    "2002:db8:a::123": False,
    "fe80::424b:c8be:1643:a1b6": True,
    "barbaz.net": True,
    "www.barbaz.net": False,
    "foobar.com": False,
    "www.foobar.com": False,
    "foofoobar.com": True,
    "baz.com": True,
    "localhost.net": True,
    "local.localhost": True,
    "barbarbaz.net": True,
    "wildcard.io": True,
    "nested.wildcard.io": False,
    "awildcard.io": True,
}


@pytest.mark.parametrize(("host", "uses_proxy"), GO.items())
def test_no_proxy_is_read_as_go_reads_it(host: str, uses_proxy: bool) -> None:
    assert bypasses(host, 80, NO_PROXY) is not uses_proxy


@pytest.mark.parametrize("entry", ["", " , ,", ":80", "10.0.0.0/99", "/", "[", "10.0.0.0/8/8", "http://10.0.0.1", "*x"])
def test_an_entry_that_means_nothing_keeps_nothing_from_the_proxy(entry: str) -> None:
    assert not bypasses("10.0.0.1", 443, entry)


def test_a_star_keeps_everything_from_the_proxy() -> None:
    assert bypasses("kube.example.com", 443, "10.0.0.0/8,*")


@pytest.mark.parametrize(
    ("server", "no_proxy", "proxied"),
    [
        ("https://10.96.0.1:443", "10.96.0.0/12", False),
        ("https://10.96.0.1", "10.96.0.1:443", False),
        ("https://10.112.0.1:443", "10.96.0.0/12", True),
        ("https://[fd00:10:96::1]:443", "10.96.0.0/12,fd00:10:96::/112", False),
        ("https://kubernetes.default.svc", ".svc,.cluster.local", False),
        ("https://KUBE.example.com:6443", "kube.Example.com", False),
        ("http://10.96.0.1", "", False),  # there is no HTTP_PROXY
    ],
)
def test_the_api_servers_service_is_reached_without_the_proxy_where_no_proxy_has_its_network(
    monkeypatch: pytest.MonkeyPatch, server: str, no_proxy: str, proxied: bool
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "no_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (proxy_for(urlsplit(server)) is not None) is proxied
