"""Refusals: requests that fail until somebody changes something. The status says so, and they are tried again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from catchup_operator.kube.backoff import backoff_seconds
from catchup_operator.kube.errors import ApiError
from catchup_operator.manifests.names import Key, key_of
from catchup_operator.reconcile.work_queue import RETRY_FIRST_SECONDS, RETRY_MAX_SECONDS, RetryAfterError
from catchup_operator.status import patches, ready
from catchup_operator.status.conditions import Condition
from catchup_operator.status.job_health import UNKNOWN, SwitchedOff

# Nothing tells that a quota or a policy was lifted: a watch would need the right to read those of all namespaces.
_REFUSED_FIRST_SECONDS: Final = 30.0
"""The longest first delay after a CronJob was refused by a quota, a policy or its type; at least half of it is waited.
Each further one is doubled.
"""
_REFUSED_MAX_SECONDS: Final = 600.0
"""The longest delay after a CronJob was refused by a quota, a policy or its type."""
# Nothing but a retry notices that a permission was granted, or that a webhook answers again.
_UNNOTICED_RETRY_SECONDS: Final = 20.0
"""The delay after a missing permission, or an admission webhook that does not answer."""
# No list of errors that last is complete: a webhook's broken patch is an internal error of the server.
_FAILURES_TOLD: Final = 5
"""So many failures in a row of the requests for a resource are told in its status, whatever the error."""


class RefusedError(RetryAfterError):
    """The API server refuses a CronJob; `patch` is the status that says why."""

    def __init__(self, message: str, patch: Mapping[str, Any] | None, *, seconds: float) -> None:
        super().__init__(message, seconds=seconds)
        self.patch = patch


class Refusals:
    """Turns refusals into conditions, and counts those of each resource until one request succeeds.

    Any other error that goes on is turned into one, too.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._in_a_row: Counter[Key] = Counter()
        self._failures: Counter[Key] = Counter()
        self._try_at: dict[Key, float] = {}

    @contextmanager
    def reported(
        self, body: Mapping[str, Any], explain: Callable[[object], Condition], *, off: SwitchedOff = UNKNOWN
    ) -> Iterator[None]:
        """Raise RefusedError in place of a refusal within the block, or of the fifth error in a row; others pass.

        So does the refusal of a namespace that is deleted: nothing is to be told there. `explain` returns the condition
        of a refusal that only time, or somebody who lifts it, can end; `off` is what the spec switches off.
        """
        try:
            yield
        except ApiError as error:
            if error.namespace_ends:
                raise
            if error.refused:
                raise self._refusal(body, error, explain, off) from None
            self._failures[key_of(body)] += 1
            if self._failures[key_of(body)] < _FAILURES_TOLD:
                raise
            raise self._failure(body, error, off) from None

    def put_off(self, key: Key) -> None:
        """Record that the server took what it does not keep as it was applied, and that it is to be tried again."""
        self._failures.pop(key, None)
        self._in_a_row[key] += 1
        self._try_at[key] = time.monotonic() + self._pause(key)

    def due(self, at: float) -> list[Key]:
        """Return the resources that are to be tried again `at` (seconds of a monotonic clock); once."""
        due = [key for key, try_at in self._try_at.items() if try_at <= at]
        for key in due:
            del self._try_at[key]
        return due

    def is_known(self, key: Key) -> bool:
        """Whether the status of a resource tells of a refusal, so that a retry is on its way."""
        return key in self._in_a_row or self._failures[key] >= _FAILURES_TOLD

    def end(self, key: Key) -> None:
        """Forget the refusals of a resource: nothing is refused any more, or it is gone."""
        self._in_a_row.pop(key, None)
        self._failures.pop(key, None)
        self._try_at.pop(key, None)

    def _failure(self, body: Mapping[str, Any], error: ApiError, off: SwitchedOff) -> RefusedError:
        seconds = backoff_seconds(self._failures[key_of(body)], first=RETRY_FIRST_SECONDS, longest=RETRY_MAX_SECONDS)
        return self._told(body, ready.failed(error), off, seconds=seconds)

    def _refusal(
        self,
        body: Mapping[str, Any],
        error: ApiError,
        explain: Callable[[object], Condition],
        off: SwitchedOff,
    ) -> RefusedError:
        permission = error.missing_permission
        if permission is not None:
            condition, seconds = ready.permission_missing(permission, error), _UNNOTICED_RETRY_SECONDS
        elif error.webhook_failed:
            condition, seconds = ready.webhook_failed(error), _UNNOTICED_RETRY_SECONDS
        else:
            self._in_a_row[key_of(body)] += 1
            condition, seconds = explain(error), self._pause(key_of(body))
        return self._told(body, condition, off, seconds=seconds)

    def _pause(self, key: Key) -> float:
        return backoff_seconds(self._in_a_row[key], first=_REFUSED_FIRST_SECONDS, longest=_REFUSED_MAX_SECONDS)

    def _told(self, body: Mapping[str, Any], condition: Condition, off: SwitchedOff, *, seconds: float) -> RefusedError:
        patch = patches.not_ready(body, condition, now=self._now(), off=off)
        return RefusedError(condition.message, patch, seconds=seconds)
