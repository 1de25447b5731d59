"""What each value of the chart may be: JSON Schema fragments that refuse what the API server or a pod would refuse.

Patterns stay within what Go's regexp and ECMA 262 have in common: Helm reads them with the first, editors with the
second.
"""

from __future__ import annotations

from typing import Any, Final

from catchup_contract.pools import POOL_NAME_MAX, POOL_NAME_PATTERN
from catchup_dev.generate.pod_schema import reference

Schema = dict[str, Any]

# https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
# https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
_QUALIFIED: Final = rf"({_SUBDOMAIN}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?"
_LABEL_VALUE: Final = "([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?"
# https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_QUANTITY: Final = r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?"
# Printable ASCII. A server is an ASCII name or an address, behind a login where there is one.
_PORT: Final = r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_SERVER: Final = rf"([!$-&(-.0-;=A-Z^-~]+@)?([A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:{_PORT})?"
_REPOSITORY: Final = rf"[A-Za-z0-9][-A-Za-z0-9._]*(:{_PORT})?(/[A-Za-z0-9][-A-Za-z0-9._]*)*"
_URL: Final = rf"https?://{_SERVER}(/[!$->@-~]*)?"
# What is neither white nor <>"', with and without ? and #.
_PLAIN: Final = "[!#-&(-;=?-~]"
_PLAIN_PATH: Final = "[!$-&(-;=@-~]"
# RFC 5322, of which the jobs take what every mail server does.
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_DOMAIN_LABEL: Final = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL: Final = rf"{_ATOM}(\.{_ATOM})*@({_DOMAIN_LABEL}\.)+{_DOMAIN_LABEL}"
_MAILBOX: Final = rf'{_EMAIL}|([^\x00-\x1f\x7f()<>\[\]:;@\\,"]*|"([^\x00-\x1f\x7f"\\]|\\[ -~])*") *<{_EMAIL}>'
_QUOTAS: Final = ("google.projectQuota", "google.userQuota", "google.dayQuota")


def _text(pattern: str, *, empty: bool = True, **more: Any) -> Schema:
    return {"pattern": f"^({pattern})?$" if empty else f"^({pattern})$", **more}


# In outline: the API server checks the numbers, and says which one is wrong.
_CRON_FIELD: Final = "[0-9A-Za-z*?,/-]+"
_CRON: Final = (
    f"{_CRON_FIELD}( +{_CRON_FIELD}){{4}}|@(yearly|annually|monthly|weekly|daily|midnight|hourly)|@every [0-9hms]+"
)
_STRINGS: Final[Schema] = {
    "propertyNames": {"pattern": f"^{_QUALIFIED}$"},
    "additionalProperties": {"type": "string"},
}
_LABELS: Final[Schema] = {**_STRINGS, "additionalProperties": {"type": "string", "pattern": f"^{_LABEL_VALUE}$"}}
_NAME: Final = _text(_SUBDOMAIN, maxLength=253)
_KEY: Final[Schema] = _text("[-._A-Za-z0-9]+", empty=False, maxLength=253)
_PREFIX: Final = _text(_LABEL)
_POSITIVE: Final[Schema] = {"type": "integer", "minimum": 1}
_PROBE: Final[Schema] = {
    "additionalProperties": False,
    "properties": {
        "initialDelaySeconds": {"type": "integer", "minimum": 0},
        "periodSeconds": _POSITIVE,
        "timeoutSeconds": _POSITIVE,
        "failureThreshold": _POSITIVE,
        "successThreshold": _POSITIVE,
    },
}
_AMOUNTS: Final[Schema] = {
    "type": "object",
    "additionalProperties": {"type": ["string", "number"], "pattern": f"^{_QUANTITY}$", "minimum": 0},
}


def _items(*required: str, of: str | None = None, **properties: Schema) -> Schema:
    """A list of objects; `of` is their type of the Kubernetes client."""
    entry: Schema = {"type": "object", "required": list(required), "properties": properties}
    return {"items": {**entry, **reference(of)} if of else entry}


_WORD: Final[Schema] = {"type": "string", "minLength": 1}
_ENV_ENTRY: Final[Schema] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "pattern": "^[-._A-Za-z][-._A-Za-z0-9]*$"},
        "value": {"type": "string"},
        "valueFrom": reference("V1EnvVarSource"),
    },
}
# https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.RelabelConfig
_RELABELING: Final[Schema] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "sourceLabels": {"type": "array", "items": _WORD},
        **{key: {"type": "string"} for key in ("separator", "targetLabel", "regex", "replacement", "action")},
        "modulus": {"type": "integer"},
    },
}
_INT32: Final = 2**31 - 1
# What a job takes at most: a week.
_DEADLINE: Final[Schema] = {"minimum": 60, "maximum": 604800}
_RATE: Final = {
    # `--set` makes a string of 0.5.
    "type": ["number", "string"],
    "minimum": 0.001,
    "maximum": 9999,
    "multipleOf": 0.001,
    "pattern": r"^([1-9][0-9]{0,3}(\.[0-9]{1,3})?|0\.([1-9][0-9]{0,2}|0[1-9][0-9]?|00[1-9]))$",
}
_HISTORY: Final[Schema] = {"minimum": 0, "maximum": 100}

# By a value's path, or else by its last part. A fragment may replace the type, which else is that of the default.
RULES: Final[dict[str, Schema]] = {
    "nameOverride": _PREFIX,
    "fullnameOverride": _PREFIX,
    "namespaceOverride": _text(_LABEL, maxLength=63),
    **dict.fromkeys(("commonLabels", "labels", "podLabels", "deploymentLabels", "nodeSelector"), _LABELS),
    **dict.fromkeys(("annotations", "commonAnnotations", "podAnnotations", "deploymentAnnotations"), _STRINGS),
    "imagePullSecrets": _items("name", name=_WORD),
    "global.imagePullSecrets": {"items": {"type": ["object", "string"], "required": ["name"], "minLength": 1}},
    "global.imageRegistry": _text(f"{_REPOSITORY}/?"),
    "repository": _text(_REPOSITORY, empty=False),
    "tag": _text("[A-Za-z0-9_][-A-Za-z0-9_.]{0,127}"),
    "digest": _text("sha256:[0-9a-f]{64}"),
    "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "revisionHistoryLimit": {"minimum": 0},
    "resources": {
        "additionalProperties": False,
        "properties": {"requests": _AMOUNTS, "limits": _AMOUNTS, "claims": _items("name", name=_WORD)},
    },
    # Fields of a pod.
    "tolerations": _items(
        operator={"enum": ["Exists", "Equal"]},
        effect={"enum": ["", "NoSchedule", "PreferNoSchedule", "NoExecute"]},
        key={"type": "string"},
        value={"type": "string"},
        tolerationSeconds={"type": "integer"},
    ),
    "podSecurityContext": reference("V1PodSecurityContext"),
    "securityContext": reference("V1SecurityContext"),
    "affinity": reference("V1Affinity"),
    "dnsConfig": reference("V1PodDNSConfig"),
    "topologySpreadConstraints": _items("maxSkew", "topologyKey", "whenUnsatisfiable", of="V1TopologySpreadConstraint"),
    "hostAliases": _items("ip", ip=_WORD, hostnames={"type": "array", "items": _WORD}),
    "hostUsers": {"type": ["boolean", "null"]},
    "dnsPolicy": {"enum": ["", "ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"]},
    **dict.fromkeys(
        ("priorityClassName", "runtimeClassName", "schedulerName", "serviceAccountName", "storageClassName"), _NAME
    ),
    "extraEnv": {"items": _ENV_ENTRY},
    "extraVolumes": _items("name", of="V1Volume", name=_WORD),
    "extraVolumeMounts": _items("name", "mountPath", of="V1VolumeMount", name=_WORD, mountPath=_WORD),
    "extraInitContainers": _items("name", "image", of="V1Container", name=_WORD, image=_WORD),
    **dict.fromkeys(("ingress", "egress"), _items()),
    **dict.fromkeys(("startupProbe", "readinessProbe", "livenessProbe"), _PROBE),
    # Names of objects, and the keys in them.
    **dict.fromkeys(
        (
            "existingSecret",
            "configMap",
            "secret",
            "operator.serviceAccount.name",
            "metrics.serviceAccount.name",
            "metrics.tokenSecret",
            "metrics.tls.caSecret",
        ),
        _NAME,
    ),
    **dict.fromkeys(("low", "normal", "high"), _NAME),
    **dict.fromkeys(
        (
            "existingSecretKey",
            "caBundle.key",
            "metrics.tls.caKey",
            "clientIdKey",
            "clientSecretKey",
            "accountSidKey",
            "authTokenKey",
            "usernameKey",
            "passwordKey",
        ),
        _KEY,
    ),
    # What the operator and the jobs read.
    "defaultPool": _text(POOL_NAME_PATTERN, maxLength=POOL_NAME_MAX),
    "operator.namespaces": {"items": {"type": "string", **_text(_LABEL, empty=False, maxLength=63)}},
    "operator.logLevel": {"enum": ["info", "debug"]},
    "operator.digestSpreadMinutes": {"minimum": 0, "maximum": 240},
    **dict.fromkeys(("operator.rollPerSecond", "operator.memberWritesPerSecond"), _RATE),
    "jobs.logLevel": {"enum": ["info", "warning", "error"]},
    "activeDeadlineSeconds": _DEADLINE,
    **dict.fromkeys(("successfulJobsHistoryLimit", "failedJobsHistoryLimit"), _HISTORY),
    # A Job's own fields, of which nothing in its pod knows.
    # Where the operator's pod is on a dead node, three minutes pass until its Leases have run out; then there is work.
    "uninstall.activeDeadlineSeconds": {"minimum": 240, "maximum": _INT32},
    "migration.activeDeadlineSeconds": {"type": ["integer", "null"], "minimum": 60, "maximum": _INT32},
    "migration.backoffLimit": {"minimum": 0, "maximum": _INT32},
    "suggestions.schedule": _text(_CRON, empty=False),
    "suggestions.shards": {"minimum": 1, "maximum": 1000},
    "metrics.access": {"enum": ["open", "reviewed"]},
    "metrics.tls.serverName": _text(_SUBDOMAIN, maxLength=253),
    "metrics.networkPolicy.enabled": {"type": ["boolean", "null"]},
    "metrics.replicas": {"minimum": 1, "maximum": 10},
    "metrics.everySeconds": {"minimum": 5, "maximum": 3600},
    "metrics.alerts.runbookUrl": _text("[!-~]+"),
    "metrics.alerts.suggestionsStaleHours": {"minimum": 1, "maximum": 8760},
    "interval": _text("[0-9]+(ms|s|m|h)", empty=False),
    "scrapeTimeout": _text("[0-9]+(ms|s|m|h)"),
    "namespace": _text(_LABEL, maxLength=63),
    **{key: {"items": _RELABELING} for key in ("relabelings", "metricRelabelings")},
    "planning.strategy": {"enum": ["humane", "earliest"]},
    "planning.contactHours": {"pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$"},
    "postgresql.storage": {"type": ["string", "number"], "pattern": f"^{_QUANTITY}$"},
    "redis.maxmemory": _text("[1-9][0-9]*([kKmMgG][bB]?)?", empty=False),
    # The clients speak TLS to the server, through a tunnel, and to no proxy.
    **dict.fromkeys(("proxy.http", "proxy.https"), _text(rf"http://{_SERVER}/?")),
    **dict.fromkeys(
        (
            "google.apiEndpoint",
            "google.tokenUri",
            "twilio.apiBaseUrl",
            "tracing.endpoint",
        ),
        _text(_URL),
    ),
    **{name: {"minimum": 1, "maximum": 1_000_000_000} for name in _QUOTAS},
    "twilio.from": {
        "anyOf": [_text(r"([a-z]+:)?\+?[0-9]{3,15}"), _text("[0-9 +_&-]*[A-Za-z][A-Za-z0-9 +_&-]*", maxLength=11)]
    },
    "twilio.messagingServiceSid": _text("[!-~]+"),
    "smtp.host": _text("[!-~]+"),
    "smtp.port": {"minimum": 1, "maximum": 65535},
    "smtp.from": _text(_MAILBOX),
    "smtp.security": {"enum": ["starttls", "tls", "none"]},
    # Part of an SMS.
    "actionBaseUrl": _text(rf"https?://{_SERVER}(/{_PLAIN_PATH}*)?", maxLength=100),
    "connectUrl": _text(rf"https?://{_SERVER}([/?#]{_PLAIN}*)?", maxLength=100),
    "extraObjects": {"items": {"type": ["object", "string"]}},
}
