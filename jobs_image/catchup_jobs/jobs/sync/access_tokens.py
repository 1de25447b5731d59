"""A user's access token during a run: refreshed when due, and stored at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catchup_jobs.domain.calendar.access_token import ReconnectNeededError
from catchup_jobs.domain.stored_enums import TokenState
from catchup_jobs.jobs.run.errors import TemporaryError
from catchup_jobs.jobs.sync.ports import StoredToken

if TYPE_CHECKING:
    from catchup_jobs.jobs.run.context import RunContext
    from catchup_jobs.jobs.sync.ports import TokenRefresher, TokenStore


class StoredAccessTokens:
    """`jobs.sync.ports.AccessTokens` for one user.

    A refreshed token is stored by compare-and-swap right after the refresh, before it is used: a server that rotates
    refresh tokens has revoked the old one. If another process stored its token first, that one is used.
    """

    def __init__(self, context: RunContext, kept: StoredToken, *, store: TokenStore, refresher: TokenRefresher) -> None:
        self._context = context
        self._kept = kept
        self._store = store
        self._refresher = refresher

    def current(self) -> str:
        """Return an access token that is good for some minutes.

        Raises:
            ReconnectNeededError, JobError: see `TokenRefresher.refresh`.
        """
        token = self._kept.token.usable_access_token(self._context.now())
        return token if token is not None else self._refresh()

    def renewed(self, rejected: str) -> str:
        """Return an access token other than the one that Google has just rejected."""
        token = self._kept.token.access_token
        return token if token is not None and token != rejected else self._refresh()

    def mark_reconnect(self) -> None:
        """Store that the user must connect again, unless another token was stored meanwhile."""
        self._context.check_stop()
        self._store.mark_reconnect(self._context.subject, version=self._kept.version, now=self._context.now())

    def mark_listed(self) -> None:
        """Store that the calendar list was read with this token, unless another one was stored meanwhile."""
        self._store.mark_listed(self._context.subject, version=self._kept.version, now=self._context.now())

    def _refresh(self) -> str:
        self._context.check_stop()
        token = self._refresher.refresh(self._kept.token)
        # No `check_stop` here: a token that the server has issued must not be lost.
        version = self._kept.version
        if self._store.replace(self._context.subject, token, version=version, now=self._context.now()):
            self._kept = StoredToken(token, TokenState.ACTIVE, version + 1)
        else:
            self._kept = self._stored_by_another()
        if self._kept.token.access_token is None:
            raise TemporaryError("another process stored a token without an access token")
        return self._kept.token.access_token

    def _stored_by_another(self) -> StoredToken:
        kept = self._store.load(self._context.subject)
        if kept is None or kept.state is not TokenState.ACTIVE:
            raise ReconnectNeededError("the user disconnected meanwhile")
        return kept
