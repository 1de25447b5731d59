"""The requests of the operator to the API server. kopf only lists and watches UserSchedules."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import aiohttp
import msgspec

from catchup_operator.kube import resources
from catchup_operator.kube.errors import ApiError
from catchup_operator.kube.transport import Request, Transport
from catchup_operator.manifests.names import FIELD_MANAGER

_PAGE: Final = 200
"""Objects in a page of a list."""

T = TypeVar("T")


class KubeClient(Transport):
    """Typed requests: get, list, watch, server-side apply, merge patch. All raise ApiError."""

    _may_write: Callable[[str], None] | None = None
    _ends: Callable[[str, ApiError], Awaitable[bool]] | None = None

    def guard_writes(self, check: Callable[[str], None]) -> None:
        """Have `check` called with the namespace before each write but those of Leases; it raises to prevent it."""
        self._may_write = check

    def ask_of_ends(self, ends: Callable[[str, ApiError], Awaitable[bool]]) -> None:
        """Have `ends` say of each error but those of Leases whether its namespace is deleted (`namespace_ends`)."""
        self._ends = ends

    def _before(self, method: str, path: str) -> None:
        if method == "GET" or self._may_write is None:
            return
        namespace, resource = resources.namespace_and_resource(path)
        if namespace and resource != resources.LEASES:
            self._may_write(namespace)

    async def _refused(self, path: str, error: ApiError) -> None:
        namespace, resource = resources.namespace_and_resource(path)
        if self._ends and namespace and resource != resources.LEASES and error.status in {403, 404}:
            error.namespace_ends = await self._ends(namespace, error)

    async def serves(self, resource: str) -> bool:
        """Whether the API server's discovery lists a resource. Raises ApiError."""
        path = resources.api_path(resource)
        groups = (await self._answer(Request("GET", "/apis"), resources.GROUPS)).groups
        if path not in {f"/apis/{version.name}" for group in groups or () for version in group.versions}:
            return False
        served = (await self._answer(Request("GET", path), resources.API_RESOURCES)).resources
        return any(item.name == resource for item in served or ())

    async def get(self, resource: str, namespace: str, name: str) -> dict[str, Any] | None:
        """Return an object, or None if there is none. Raises ApiError."""
        try:
            return await self._request("GET", resource, namespace, name)
        except ApiError as error:
            if error.status != 404:  # noqa: PLR2004
                raise
            return None

    async def is_gone(self, namespace: str) -> bool:
        """Whether a namespace is known not to exist or to be deleted; false where this account may not know.

        One that waits for a finalizer takes nothing new any more, and its Roles are gone. Raises ApiError.
        """
        try:
            request = Request("GET", resources.path(resources.NAMESPACES, None, namespace))
            found = await self._answer(request, resources.METADATA)
        except ApiError as error:
            if error.status not in {403, 404}:
                raise
            return error.status == 404  # noqa: PLR2004
        return "deletionTimestamp" in found["metadata"]

    async def apply(self, resource: str, manifest: Mapping[str, Any], *, force: bool = False) -> dict[str, Any]:
        """Apply a manifest server-side; return the declared fields of the object, of a CronJob the whole spec.

        Raises:
            ApiError: 409 where another field manager owns a field and `force` is false.
        """
        metadata = manifest["metadata"]
        return await self._write(
            "PATCH",
            resources.path(resource, metadata["namespace"], metadata["name"]),
            query={"fieldManager": FIELD_MANAGER, "force": str(force).lower()},
            body=manifest,
            content_type="application/apply-patch+yaml",
            decoder=resources.applied_decoder(resource),
        )

    async def create(self, resource: str, manifest: Mapping[str, Any]) -> None:
        """Create an object. Raises ApiError."""
        path = resources.path(resource, manifest["metadata"]["namespace"])
        await self._write("POST", path, body=manifest, content_type="application/json")

    async def is_allowed(self, verb: str, resource: str, namespace: str) -> bool:
        """Whether this account has a permission in a namespace (empty: in all).

        `resource` is e.g. `cronjobs`, with a subresource `userschedules/status`, or with one object's name
        `leases:catchup-operator`.

        Raises:
            ApiError: 403 where the account may not create a SelfSubjectAccessReview.
        """
        kind, _, name = resource.partition(":")
        kind, _, subresource = kind.partition("/")
        attributes = {
            "namespace": namespace,
            "verb": verb,
            "group": resources.group_of(kind),
            "resource": kind,
            "subresource": subresource,
            "name": name,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = await self.review(resources.REVIEWS, review)
        return bool((answer.get("status") or {}).get("allowed"))

    async def review(self, resource: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the API server to answer a review; return it with its `status`. Raises ApiError."""
        return await self._request("POST", resource, None, body=document, content_type="application/json")

    async def patch_status(self, resource: str, body: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        """Apply a merge patch (RFC 7396) to the status of an object, if it has not changed since `body` was read.

        Raises:
            ApiError: 409 where the object has changed. Conditions are a list, which a merge patch replaces as a whole.
        """
        read = body["metadata"]
        patch = {"metadata": {"resourceVersion": read["resourceVersion"]}, "status": status}
        await self.merge(resource, read["namespace"], read["name"], patch, subresource="/status")

    async def merge(
        self, resource: str, namespace: str, name: str, patch: Mapping[str, Any], *, subresource: str = ""
    ) -> dict[str, Any]:
        """Apply a merge patch (RFC 7396); return the object, or for a subresource its metadata. Raises ApiError."""
        return await self._write(
            "PATCH",
            resources.path(resource, namespace, name) + subresource,
            query={"fieldManager": FIELD_MANAGER},
            body=patch,
            content_type="application/merge-patch+json",
            decoder=resources.METADATA if subresource else resources.applied_decoder(resource),
        )

    async def delete(self, resource: str, namespace: str, name: str, *, uid: str | None = None) -> None:
        """Delete an object, if it is there, and then its dependents.

        Raises:
            ApiError: 409 where it has not the `uid`.
        """
        options: dict[str, Any] = {"propagationPolicy": "Background"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        path = resources.path(resource, namespace, name)
        try:
            await self._send(Request("DELETE", path, body=options, content_type="application/json"))
        except ApiError as error:
            if not error.not_found:
                raise

    async def delete_all(self, resource: str, namespace: str, *, selector: str, fields: str = "") -> None:
        """Delete the objects that both selectors match, and their dependents.

        `selector` selects by labels, `fields` by fields.

        Raises:
            ApiError: where an admission denies one of them, others may be deleted or not.
        """
        query = {"labelSelector": selector, "fieldSelector": fields, "propagationPolicy": "Background"}
        await self._send(Request("DELETE", resources.path(resource, namespace), query))

    async def list_pages(
        self, resource: str, namespace: str | None, *, selector: str, fields: str = ""
    ) -> AsyncIterator[tuple[list[dict[str, Any]], str]]:
        """Yield pages of at most 200 objects with the list's resource version.

        `selector` selects by labels, `fields` by fields.

        Raises:
            ApiError: 410 where the list has expired and must be started again.
        """
        path, accept = resources.path(resource, namespace), resources.media_type(resource, listed=True)
        query = {"labelSelector": selector, "limit": str(_PAGE)} | ({"fieldSelector": fields} if fields else {})
        while True:
            page = await self._answer(Request("GET", path, query, accept), resources.page_decoder(resource))
            yield page.items or [], page.metadata.resource_version
            if not page.metadata.next_page:
                return
            query["continue"] = page.metadata.next_page

    async def list_items(
        self, resource: str, namespace: str | None, *, selector: str = "", fields: str = ""
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield all objects that both selectors match. Raises as `list_pages`."""
        async for page, _ in self.list_pages(resource, namespace, selector=selector, fields=fields):
            for item in page:
                yield item

    async def managers_of(self, resource: str, namespace: str, name: str) -> list[str]:
        """Return the field managers of an object, sorted; empty where there is none. Raises ApiError.

        By a list, since the Role has no more for Jobs and pods.
        """
        path, query = resources.path(resource, namespace), {"fieldSelector": f"metadata.name={name}"}
        accept = resources.media_type(resource, listed=True, trimmed=True)
        items = (await self._answer(Request("GET", path, query, accept), resources.MANAGED_PAGE)).items or []
        return sorted(
            {entry.get("manager", "") for item in items for entry in item["metadata"].get("managedFields") or ()}
        )

    async def watch(
        self,
        resource: str,
        namespace: str | None,
        version: str,
        *,
        selector: str,
        seconds: int,
        silence_seconds: int,
    ) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Yield (type, object) events after a resource version until the server closes the watch.

        Args:
            seconds: after this time the server closes the watch.
            silence_seconds: after this time without an event the connection counts as dead.

        Raises:
            ApiError: 410 where the version has expired; 0 where the connection broke or was silent for too long.
        """
        query = {
            "watch": "true",
            "resourceVersion": version,
            "labelSelector": selector,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
        }
        limits = aiohttp.ClientTimeout(total=seconds + silence_seconds, sock_read=silence_seconds)
        accept, decoder = resources.media_type(resource), resources.object_decoder(resource)
        request = Request("GET", resources.path(resource, namespace), query, accept, limits=limits)
        response = await self._open(request)
        try:
            async for line in response.content:
                event = _decoded(resources.EVENT, line, request)
                if event.type == "ERROR":
                    error = _decoded(resources.STATUS, event.object, request)
                    raise ApiError(error.code, error.message)
                yield event.type, _decoded(decoder, event.object, request)
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
        """Return the declared fields of the object in the response."""
        path, accept = resources.path(resource, namespace, name), resources.media_type(resource)
        request = Request(method, path, query, accept, body, content_type)
        return await self._answer(request, resources.reply_decoder(resource))

    async def _write(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any],
        content_type: str,
        decoder: msgspec.json.Decoder[dict[str, Any]] = resources.METADATA,
    ) -> dict[str, Any]:
        """Send a request whose response is the object; return what the decoder reads of it."""
        return await self._answer(Request(method, path, query, body=body, content_type=content_type), decoder)

    async def _answer(self, request: Request, decoder: msgspec.json.Decoder[T]) -> T:
        return _decoded(decoder, await self._send(request), request)


def _decoded(decoder: msgspec.json.Decoder[T], reply: bytes | msgspec.Raw, request: Request) -> T:
    try:
        return decoder.decode(reply)
    except msgspec.DecodeError as error:
        raise ApiError(0, f"{request}: the response cannot be decoded ({error})") from None
