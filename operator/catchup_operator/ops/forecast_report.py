"""The forecast as text for a terminal and as JSON for programs."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Final

from catchup_contract.timestamps import format_utc
from catchup_operator.ops.forecast import MINUTES, Forecast

_PEAKS_SHOWN: Final = 10
"""Peaks that `forecast` shows."""
_BARS: Final = " ▁▂▃▄▅▆▇█"


def draw(values: tuple[int, ...], start: datetime, *, limit: int) -> list[str]:
    """Return a line for each hour: a bar for each minute, scaled to the highest, and `!` above the limit."""
    highest = max(*values, 1)
    lines = []
    for first in range(0, MINUTES, 60):
        hour = values[first : first + 60]
        bars = "".join("!" if value > limit else _BARS[-(-value * (len(_BARS) - 1) // highest)] for value in hour)
        at = start + timedelta(minutes=first)
        lines.append(f"{at:%H:%M} {bars} {sum(hour):>8} {max(hour):>7}/min")
    return lines


def as_text(forecast: Forecast, *, max_pods: int, max_requests: int, max_requests_a_day: int) -> str:
    """Return a drawing of pods and requests, and the highest peaks."""
    lines = [f"From {forecast.start:%Y-%m-%d %H:%M} UTC; a bar a minute.", "", "Pods that start:"]
    lines += draw(forecast.pods, forecast.start, limit=max_pods)
    lines += ["", "Requests to Google:", *draw(forecast.requests, forecast.start, limit=max_requests)]
    total = forecast.requests_of_the_day
    lines += ["", f"{total:,} requests to Google in all, with {forecast.lists:,} for lists of calendars; "]
    lines[-1] += f"{'above' if total > max_requests_a_day else 'within'} {max_requests_a_day:,} a day."
    peaks = forecast.peaks(max_pods=max_pods, max_requests=max_requests)
    lines += ["", f"{len(peaks)} minutes above {max_pods} pods or {max_requests} requests" + (":" if peaks else ".")]
    for peak in sorted(peaks, key=lambda peak: (-peak.pods, peak.at))[:_PEAKS_SHOWN]:
        lines.append(f"  {peak.at:%a %H:%M}  {peak.pods} pods, {peak.requests} requests; {peak.advice}")
    return "\n".join(lines)


def as_json(forecast: Forecast, *, max_pods: int, max_requests: int, max_requests_a_day: int) -> str:
    """Return `start`, a number for each minute, and the peaks."""
    document = {
        "start": format_utc(forecast.start),
        **{f"{kind}Pods": forecast.pods_of(kind) for kind in forecast.starts},
        "googleRequests": forecast.requests,
        "googleRequestsOfTheDay": forecast.requests_of_the_day,
        "isAboveDayLimit": forecast.requests_of_the_day > max_requests_a_day,
        "peaks": [
            {"at": format_utc(peak.at), "pods": peak.pods, "googleRequests": peak.requests, "advice": peak.advice}
            for peak in forecast.peaks(max_pods=max_pods, max_requests=max_requests)
        ],
    }
    return json.dumps(document)
