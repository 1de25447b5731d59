"""Suggestions for their user: listed and answered."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, null, select, update

from catchup_jobs.adapters.database.availability.busy import IS_SELECTED, busy_events, covered_time
from catchup_jobs.adapters.database.schema import calendars, contacts, digests, events, suggestions, users
from catchup_jobs.domain.digest.action_tokens import Binding
from catchup_jobs.domain.digest.items import DigestItem
from catchup_jobs.domain.planning.answers import Answer, ImpossibleAnswerError, change
from catchup_jobs.domain.stored_enums import SuggestionStatus
from catchup_jobs.jobs.run.errors import PermanentError, TemporaryError

if TYPE_CHECKING:
    from catchup_jobs.adapters.database.engine import Database
    from catchup_jobs.domain.digest.action_tokens import ActionToken


@dataclass(frozen=True, slots=True)
class SuggestionView:
    """A suggestion with its contact's name, for the user it is made to.

    Attributes:
        time_zone: the user's.
        version: of the row; pass it with an answer to detect a change in between.
    """

    id: int
    user_id: str
    time_zone: str
    item: DigestItem = field(repr=False)
    status: SuggestionStatus
    trigger: str
    snoozed_until: datetime | None
    delivered_at: datetime | None
    version: int


class DatabaseAnswers:
    """Lists and answers suggestions; methods raise `JobError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def listing(self, user_id: str, statuses: Collection[SuggestionStatus]) -> list[SuggestionView]:
        """Return a user's suggestions in these statuses, by their time."""
        statement = _views().where(suggestions.c.user_id == user_id, suggestions.c.status.in_(sorted(statuses)))
        with self._database.read() as connection:
            return [_view(row) for row in connection.execute(statement.order_by(suggestions.c.start_at))]

    def answer(
        self,
        suggestion_id: int,
        answer: Answer,
        *,
        now: datetime,
        until: datetime | None = None,
        version: int | None = None,
        proposed: ActionToken | None = None,
    ) -> tuple[SuggestionView, bool]:
        """Answer a suggestion; return it with its new values, and whether anything changed.

        Args:
            until: for a snooze, see `domain.planning.answers.change`.
            version: that the caller has read; if the database has another one, the answer is refused.
            proposed: the link that the answer came by: a time that moved since is not accepted.

        Raises:
            PermanentError: there is no such suggestion, this answer is not possible any more, or it was changed.
        """
        with self._database.write() as connection:
            before = self._locked(connection, suggestion_id)
            if version is not None and version != before.version:
                raise PermanentError(
                    f"the suggestion was changed meanwhile: it is at version {before.version} now, look at it again"
                )
            if answer is Answer.ACCEPT and proposed is not None and not proposed.is_for(before.item.start_at):
                local = before.item.start_at.astimezone(ZoneInfo(before.time_zone))
                raise PermanentError(
                    f"the message proposed another time; it is {local:%Y-%m-%d %H:%M %Z} now: look at it again"
                )
            try:
                made = change(answer, before.status, start_at=before.item.start_at, now=now, until=until)
            except ImpossibleAnswerError as error:
                raise PermanentError(str(error)) from None
            if made is None:
                return before, False
            changed = connection.execute(
                update(suggestions)
                .where(suggestions.c.id == suggestion_id, suggestions.c.version == before.version)
                .values(
                    status=made.status,
                    snoozed_until=made.snoozed_until,
                    answered_at=now,
                    version=suggestions.c.version + 1,
                    updated_at=now,
                )
            )
            if changed.rowcount == 0:
                raise TemporaryError("the suggestion was changed at the same moment: try again")
            return _view(connection.execute(_views().where(suggestions.c.id == suggestion_id)).one()), True

    def of_digest(self, digest_id: int) -> list[SuggestionView]:
        """Return the suggestions that a digest carried, as they are now.

        Raises:
            PermanentError: the digest is gone.
        """
        with self._database.read() as connection:
            items = connection.execute(select(digests.c.content).where(digests.c.id == digest_id)).scalar_one_or_none()
            if items is None:
                raise PermanentError("the digest of this link is gone")
            ids = [document["suggestion_id"] for document in items]
            views = {row.id: _view(row) for row in connection.execute(_views().where(suggestions.c.id.in_(ids)))}
        return [views[suggestion_id] for suggestion_id in ids if suggestion_id in views]

    def binding(self, token: ActionToken) -> Binding | None:
        """Return whom the object of a link belongs to, None where it is gone."""
        if token.action.is_of_suggestion:
            statement = select(suggestions.c.user_id, suggestions.c.contact_id).where(suggestions.c.id == token.subject)
        else:
            statement = select(digests.c.user_id, null()).where(digests.c.id == token.subject)
        with self._database.read() as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None else Binding(*row)

    def time_is_busy(self, view: SuggestionView) -> bool:
        """Return whether something else is in a suggestion's time: an event that blocks, or another accepted one."""
        item = view.item
        of_user = select(calendars.c.id).where(calendars.c.user_id == view.user_id, IS_SELECTED)
        with self._database.read() as connection:
            own = connection.execute(
                select(suggestions.c.source_event_id, suggestions.c.booked_event_id).where(suggestions.c.id == view.id)
            ).one_or_none()
            busy = connection.execute(busy_events(of_user, events.c.google_id, start=item.start_at, end=item.end_at))
            for _, start, end, first, last, google_id in busy:
                covered = covered_time(start, end, first, last, ZoneInfo(view.time_zone))
                touches = covered is not None and covered.start < item.end_at and covered.end > item.start_at
                if touches and google_id not in tuple(own or ()):
                    return True
            other = select(suggestions.c.id).where(
                suggestions.c.user_id == view.user_id,
                suggestions.c.id != view.id,
                suggestions.c.status == SuggestionStatus.ACCEPTED,
                suggestions.c.start_at < item.end_at,
                suggestions.c.end_at > item.start_at,
            )
            return connection.execute(other.limit(1)).first() is not None

    @staticmethod
    def _locked(connection: Connection, suggestion_id: int) -> SuggestionView:
        owner = connection.execute(
            select(suggestions.c.user_id).where(suggestions.c.id == suggestion_id)
        ).scalar_one_or_none()
        if owner is not None:
            # The user's row first: everything that changes suggestions locks it first.
            connection.execute(
                update(users).where(users.c.id == owner).values(planning_version=users.c.planning_version + 1)
            )
        row = connection.execute(_views().where(suggestions.c.id == suggestion_id)).one_or_none()
        if row is None:
            raise PermanentError(f"there is no suggestion {suggestion_id}")
        return _view(row)


def _views() -> Any:
    return (
        select(
            suggestions,
            contacts.c.name.label("contact_name"),
            contacts.c.time_zone.label("contact_zone"),
            users.c.time_zone.label("user_zone"),
        )
        .join(contacts, contacts.c.id == suggestions.c.contact_id)
        .join(users, users.c.id == suggestions.c.user_id)
    )


def _view(row: Any) -> SuggestionView:
    item = DigestItem(
        row.id,
        row.contact_name,
        row.start_at,
        row.end_at,
        row.mode.value,
        row.reasoning,
        row.contact_zone,
        row.contact_id,
    )
    return SuggestionView(
        id=row.id,
        user_id=row.user_id,
        time_zone=row.user_zone,
        item=item,
        status=row.status,
        trigger=row.trigger.value,
        snoozed_until=row.snoozed_until,
        delivered_at=row.delivered_at,
        version=row.version,
    )
