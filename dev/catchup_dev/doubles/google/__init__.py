"""A scripted double of Google's OAuth and Calendar v3 endpoints, over HTTP.

Faithful where the sync job depends on it: paging, sync tokens and what is forbidden beside them, tombstones, changes
outside the window, recurring events as instances, expiry and revocation of tokens, usage limits, partial responses.
A control API (see `client.GoogleDouble`) changes calendars, scripts faults and reads the log of requests.

    python -m catchup_dev.doubles.google serve --port 8970 --state google.json
    python -m catchup_dev.doubles.google user add ada@example.com --time-zone Europe/Berlin
    python -m catchup_dev.doubles.google event add ada@example.com --id dentist --title Dentist --at "+1d 15:00"
"""
