from __future__ import annotations

import ssl

import aiohttp
import pytest

from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.errors import ApiError
from catchup_operator.kube.resources import SCHEDULES
from catchup_operator.kube.server_access import Access, CredentialsError


async def no_token() -> dict[str, str]:
    raise CredentialsError("/var/run/token is empty")


async def test_a_token_that_cannot_be_read_for_a_moment_is_a_request_that_failed_for_us_and_for_kopf() -> None:
    client = KubeClient(Access("https://127.0.0.1:1", ssl.create_default_context(), no_token))

    async def middleware(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        return await handler(request)

    kopfs = client.session(middleware)
    try:
        with pytest.raises(ApiError, match="the token cannot be read: /var/run/token is empty"):
            await client.get(SCHEDULES, "people", "ada")
        with pytest.raises(aiohttp.ClientConnectionError, match="the token cannot be read: /var/run/token is empty"):
            await kopfs.get("https://127.0.0.1:1/apis")
    finally:
        await kopfs.close()
        await client.close()
