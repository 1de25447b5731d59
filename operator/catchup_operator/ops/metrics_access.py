"""Who may read `/metrics`, asked of the API server."""

from __future__ import annotations

import logging
import time

from catchup_contract.access_review import (
    FORBIDDEN,
    OK,
    UNAUTHORIZED,
    UNAVAILABLE,
    Verdicts,
    access_review,
    bearer,
    is_allowed,
    token_review,
)
from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.errors import ApiError
from catchup_operator.kube.resources import ACCESS_REVIEWS, TOKEN_REVIEWS

logger = logging.getLogger(__name__)


class MetricsGate:
    """Decides by TokenReview and SubjectAccessReview."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._verdicts = Verdicts()

    async def status(self, authorization: str) -> int:
        """Return 200 for an `Authorization` header that may read metrics, else 401, 403, or 503 where nobody knows."""
        token = bearer(authorization)
        if token is None:
            return UNAUTHORIZED
        now = time.monotonic()
        status = self._verdicts.get(token, now)
        if status is None:
            status = await self._ask(token)
            self._verdicts.keep(token, status, now)
        return status

    async def _ask(self, token: str) -> int:
        try:
            review = access_review(await self._client.review(TOKEN_REVIEWS, token_review(token)))
            if review is None:
                return UNAUTHORIZED
            return OK if is_allowed(await self._client.review(ACCESS_REVIEWS, review)) else FORBIDDEN
        except ApiError as error:
            logger.warning("cannot tell who may read metrics: %s", error)
            return UNAVAILABLE
