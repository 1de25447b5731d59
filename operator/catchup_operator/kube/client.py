"""What the operator asks of the API server, and writes there; kopf makes no request but its own list and watch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, TypeVar

import aiohttp
import msgspec

from catchup_operator.kube import resources as objects
from catchup_operator.kube.transport import ApiError, Transport
from catchup_operator.manifests.names import FIELD_MANAGER

_PAGE: Final = 200
# The API server ends a watch after this time and sends a bookmark about every minute: silence beyond
# _WATCH_SILENCE_SECONDS means a dead connection that nobody closed.
_WATCH_SECONDS: Final = 300
_WATCH_SILENCE_SECONDS: Final = 90

T = TypeVar("T")


class Cluster(Transport):
    """The objects of the API server."""

    async def knows(self, resource: str) -> bool:
        """Whether the API server lists a kind of resource where kopf looks for it. Raises ApiError."""
        api = objects.api(resource)
        groups = _decoded(objects.GROUPS, await self._send("GET", "/apis"), "GET /apis").groups
        if api not in {f"/apis/{version.name}" for group in groups or () for version in group.versions}:
            return False
        kinds = _decoded(objects.KINDS, await self._send("GET", api), f"GET {api}").resources
        return any(kind.name == resource for kind in kinds or ())

    async def get(self, resource: str, namespace: str, name: str) -> dict[str, Any] | None:
        """Return an object, or None if there is none. Raises ApiError."""
        try:
            return await self._request("GET", resource, namespace, name)
        except ApiError as error:
            if error.status == 404:  # noqa: PLR2004
                return None
            raise

    async def apply(self, resource: str, manifest: Mapping[str, Any], *, force: bool = False) -> dict[str, Any]:
        """Apply server-side and return what is read of the object.

        Raises:
            ApiError: 409 where another manager owns a field.
        """
        metadata = manifest["metadata"]
        return await self._request(
            "PATCH",
            resource,
            metadata["namespace"],
            metadata["name"],
            query={"fieldManager": FIELD_MANAGER, "force": str(force).lower()},
            body=manifest,
            content_type="application/apply-patch+yaml",
        )

    async def create(self, resource: str, manifest: Mapping[str, Any]) -> None:
        """Create an object. Raises ApiError."""
        path = objects.path(resource, manifest["metadata"]["namespace"])
        await self._write("POST", path, body=manifest, content_type="application/json")

    async def may(self, verb: str, resource: str, namespace: str) -> bool:
        """Ask whether we may do something in a namespace (empty: in all), e.g. `patch`, `userschedules/status`.

        Raises:
            ApiError: 403 also where we may not even ask.
        """
        kind, _, subresource = resource.partition("/")
        asked = {
            "namespace": namespace,
            "verb": verb,
            "group": objects.group_of(kind),
            "resource": kind,
            "subresource": subresource,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        answer = await self._request("POST", objects.REVIEWS, None, body=review, content_type="application/json")
        return bool((answer.get("status") or {}).get("allowed"))

    async def patch_status(self, body: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        """Merge into the status of a UserSchedule as it was read (RFC 7396).

        Raises:
            ApiError: 409 where it was written meanwhile: conditions are a list, and a list is replaced whole.
        """
        read = body["metadata"]
        patch = {"metadata": {"resourceVersion": read["resourceVersion"]}, "status": status}
        await self.merge(objects.SCHEDULES, read["namespace"], read["name"], patch, subresource="/status")

    async def merge(
        self, resource: str, namespace: str, name: str, patch: Mapping[str, Any], *, subresource: str = ""
    ) -> None:
        """Merge a patch into an object (RFC 7396). Raises ApiError."""
        await self._write(
            "PATCH",
            objects.path(resource, namespace, name) + subresource,
            query={"fieldManager": FIELD_MANAGER},
            body=patch,
            content_type="application/merge-patch+json",
        )

    async def delete_all(self, resource: str, namespace: str, *, selector: str) -> None:
        """Delete what the label selector names, and what it owns. Raises ApiError."""
        query = {"labelSelector": selector, "propagationPolicy": "Background"}
        await self._send("DELETE", objects.path(resource, namespace), query=query)

    async def list_pages(
        self, resource: str, namespace: str | None, *, selector: str
    ) -> AsyncIterator[tuple[list[dict[str, Any]], str]]:
        """Yield pages of at most 200 objects with the list's resource version. Raises ApiError (410: start over)."""
        path, query = objects.path(resource, namespace), {"labelSelector": selector, "limit": str(_PAGE)}
        while True:
            reply = await self._send("GET", path, query=query, accept=objects.media_type(resource, listed=True))
            page = _decoded(objects.page_of(resource), reply, f"GET {path}")
            yield page.items or [], page.metadata.resource_version
            if not page.metadata.next_page:
                return
            query["continue"] = page.metadata.next_page

    async def watch(
        self, resource: str, namespace: str | None, version: str, *, selector: str
    ) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Yield (type, object) events after a resource version until the server ends the watch.

        Raises:
            ApiError: status 410 when the version is too old; 0 when the connection broke or fell silent.
        """
        query = {
            "watch": "true",
            "resourceVersion": version,
            "labelSelector": selector,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        timeout = aiohttp.ClientTimeout(total=_WATCH_SECONDS + _WATCH_SILENCE_SECONDS, sock_read=_WATCH_SILENCE_SECONDS)
        path, decoder = objects.path(resource, namespace), objects.object_of(resource)
        response = await self._open("GET", path, query=query, accept=objects.media_type(resource), limits=timeout)
        try:
            async for line in response.content:
                event = _decoded(objects.EVENT, line, f"GET {path}")
                if event.type == "ERROR":
                    error = _decoded(objects.STATUS, event.object, f"GET {path}")
                    raise ApiError(error.code, error.message)
                yield event.type, _decoded(decoder, event.object, f"GET {path}")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ApiError(0, f"the watch on {resource} broke ({type(error).__name__})") from None
        finally:
            response.close()

    async def _request(
        self,
        method: str,
        resource: str,
        namespace: str | None,
        name: str | None = None,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str | None = None,
    ) -> dict[str, Any]:
        """Return what is read of the object that the server answers with."""
        path, accept = objects.path(resource, namespace, name), objects.media_type(resource)
        reply = await self._send(method, path, query=query, accept=accept, body=body, content_type=content_type)
        return _decoded(objects.object_of(resource), reply, f"{method} {path}")

    async def _write(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any],
        content_type: str,
    ) -> None:
        """Send what is answered by the object as it is then, of which nothing is read."""
        reply = await self._send(method, path, query=query, body=body, content_type=content_type)
        _decoded(objects.METADATA, reply, f"{method} {path}")


def _decoded(decoder: msgspec.json.Decoder[T], reply: bytes | msgspec.Raw, request: str) -> T:
    try:
        return decoder.decode(reply)
    except msgspec.DecodeError as error:
        raise ApiError(0, f"{request}: the reply cannot be read ({error})") from None
