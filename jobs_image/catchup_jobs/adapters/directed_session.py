"""A session of `requests` that reads the proxies' variables as everything else here does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests

from catchup_contract.proxies import proxy_for

if TYPE_CHECKING:
    from collections.abc import MutableMapping


class DirectedSession(requests.Session):
    """`requests` itself knows no networks of IPv6 in `NO_PROXY`."""

    def merge_environment_settings(self, url: Any, proxies: Any, *settings: Any, **named: Any) -> Any:
        """Return the settings of a request to `url`."""
        merged: MutableMapping[str, Any] = super().merge_environment_settings(url, proxies, *settings, **named)
        address = urlsplit(url)
        proxy = proxy_for(address, or_all=True)
        return {**merged, "proxies": {address.scheme: proxy} if proxy else {}}
