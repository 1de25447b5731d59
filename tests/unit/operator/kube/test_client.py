from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from kubernetes.aio import client, config

from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.errors import ApiError
from catchup_operator.kube.resources import SCHEDULES


def without_token(error: Exception) -> client.ApiClient:
    """A pod's client whose token is being rotated."""

    def refresh(_: Any) -> None:
        raise error

    configuration = client.Configuration(host="https://127.0.0.1:1", api_key={"BearerToken": "x"})
    configuration.refresh_api_key_hook = refresh  # type: ignore[assignment]
    return client.ApiClient(configuration)


@pytest.mark.parametrize("error", [FileNotFoundError("token"), config.ConfigException("Token file exists but empty.")])
async def test_a_token_that_cannot_be_read_for_a_moment_is_a_request_that_failed_for_us_and_for_kopf(
    error: Exception,
) -> None:
    client_ = KubeClient(without_token(error))
    kopfs = client_.login()
    try:
        with pytest.raises(ApiError, match="the token cannot be read"):
            await client_.get(SCHEDULES, "people", "ada")
        with pytest.raises(aiohttp.ClientConnectionError, match="the token cannot be read"):
            await kopfs.aiohttp_session.get("https://127.0.0.1:1/apis")
    finally:
        await kopfs.aiohttp_session.close()
        await client_.close()
