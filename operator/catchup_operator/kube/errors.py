"""How a request to the API server fails."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from catchup_operator.kube import resources

# The text of an RBAC denial. A quota and an admission policy also answer 403, with other texts.
_FORBIDDEN: Final = re.compile(r'cannot (\w+) resource "([\w/]+)"')
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
# Of code 403, as a cause: in a namespace that is deleted nothing can be made.
_NAMESPACE_ENDS: Final = "NamespaceTerminating"
# Of code 404, to whatever is made in a namespace that is not there any more.
_NO_NAMESPACE: Final = re.compile(r'namespaces "[^"]+" not found')
# The server's texts of a precondition that does not hold, of code 409; they name no field.
_OTHER_UID: Final = re.compile(r"UID in (?:the )?precondition")
_INTERNAL: Final = 500
# Of code 500, though no retry changes it: the manifest is not of the type that the server declares, or does not fit
# into etcd.
_PERMANENT: Final = ("failed to create typed patch object", "request is too large")
# An admission policy or webhook chooses the code and the reason of its denial, also those of a conflict or of an object
# that is not there.
_DENIED: Final = re.compile(r"denied (?:the )?request")
_REFUSED: Final = frozenset({400, 403, 413, 422})
_WEBHOOK: Final = "failed calling webhook"


class ApiError(Exception):
    """The API server refused a request, or could not be reached (status 0). The text is the server's own.

    `reason` is that of the server's Status object, `causes` are those of its details, `fields` are the paths of the
    fields that it refuses. Not before `retry_after` seconds the server wants to be asked again.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        reason: str = "",
        causes: Iterable[str] = (),
        fields: Iterable[str] = (),
        retry_after: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.causes = frozenset(causes)
        self.fields = frozenset(fields)
        self.retry_after = retry_after
        self.namespace_ends = self._says_namespace_ends()
        """Whether the namespace is deleted, or is being deleted, so that nothing can be made in it."""

    @classmethod
    def from_reply(cls, status: int, body: bytes, *, retry_after: float = 0.0) -> ApiError:
        """Return the error that a reply tells; its body is a Status object, or of whoever answers in its place."""
        try:
            answer = resources.STATUS.decode(body)
        except msgspec.DecodeError:
            answer = resources.Status()
        causes = (answer.details.causes if answer.details else None) or ()
        message = answer.message or body[:500].decode(errors="replace").strip()
        return cls(
            status,
            message,
            reason=answer.reason,
            causes=(cause.reason for cause in causes if cause.reason),
            fields=(cause.field for cause in causes if cause.field),
            retry_after=retry_after,
        )

    @property
    def denied(self) -> bool:
        """Whether an admission policy or webhook denies the request, with whatever code."""
        return bool(_DENIED.search(str(self)))

    @property
    def not_found(self) -> bool:
        """Whether there is no such object."""
        return self.status == _NOT_FOUND and not self.denied

    @property
    def is_outrun(self) -> bool:
        """Whether somebody changed the object since it was read: nobody's trouble, unless it goes on."""
        return self.status == _CONFLICT and not self.denied

    @property
    def already_exists(self) -> bool:
        """Whether there is an object of that name. A quota that is written at the moment answers 409, too."""
        return self.reason == "AlreadyExists" and not self.denied

    @property
    def is_of_another(self) -> bool:
        """Whether there is no object of that name and uid. An admission that refuses answers 409 and 422, too."""
        is_other = "metadata.uid" in self.fields or bool(_OTHER_UID.search(str(self)))
        return self.not_found or (is_other and not self.denied)

    def _says_namespace_ends(self) -> bool:
        if self.status == _NOT_FOUND:
            return bool(_NO_NAMESPACE.fullmatch(str(self)))
        return self.status == 403 and _NAMESPACE_ENDS in self.causes  # noqa: PLR2004

    @property
    def missing_permission(self) -> str | None:
        """The permission that RBAC denies, e.g. `patch cronjobs`; None for any other error."""
        denial = _FORBIDDEN.search(str(self)) if self.status == 403 else None  # noqa: PLR2004
        return f"{denial[1]} {denial[2]}" if denial else None

    @property
    def refused(self) -> bool:
        """Whether a retry fails until somebody changes something: a quota, a policy, a permission, the object."""
        is_permanent = self.status == _INTERNAL and any(text in str(self) for text in _PERMANENT)
        return self.status in _REFUSED or self.denied or is_permanent or self.webhook_failed

    @property
    def webhook_failed(self) -> bool:
        """Whether an admission webhook does not answer; nothing is admitted until somebody mends it."""
        return self.status == _INTERNAL and _WEBHOOK in str(self)


def message_of(body: bytes) -> str:
    """Return the `message` of the Status object in the body of an error, or the first 500 bytes of any other body."""
    return str(ApiError.from_reply(0, body))
