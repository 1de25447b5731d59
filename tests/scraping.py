"""Reading `/metrics` as Prometheus does, and what other pages answer."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from typing import Final

from prometheus_client.openmetrics.parser import text_string_to_metric_families

OPEN_METRICS: Final = "application/openmetrics-text; version=1.0.0"


def answers(url: str) -> bool:
    """Return whether a page answers with 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return bool(reply.status == 200)
    except urllib.error.HTTPError as error:
        error.close()
        return False
    except OSError:
        return False


def scraped(url: str, context: ssl.SSLContext | None = None) -> dict[str, float]:
    """Return the samples as `name` or `name{label=value,...}` with sorted labels, asked for in OpenMetrics."""
    request = urllib.request.Request(url, headers={"Accept": OPEN_METRICS})
    with urllib.request.urlopen(request, timeout=10, context=context) as reply:
        assert reply.headers["Content-Type"].startswith(OPEN_METRICS)
        return samples(reply.read().decode())


def samples(text: str) -> dict[str, float]:
    """Return the samples of a text in OpenMetrics' format."""
    return {
        sample.name + _labels(sample.labels): sample.value
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
        for sample in family.samples
    }


def _labels(labels: dict[str, str]) -> str:
    text = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
    return f"{{{text}}}" if text else ""
