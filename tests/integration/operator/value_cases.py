"""What the chart's values may be and what not: a table by the rules of the schema, and one by the variables of pods."""

from __future__ import annotations

from typing import Any

from catchup_contract.env import Env

# By rule of the schema: what it refuses.
BAD: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("nameOverride", "fullnameOverride"), ("Jobs", "-a", "a.b")),
    "namespaceOverride": ("People", "a" * 64),
    **dict.fromkeys(
        ("commonLabels", "labels", "podLabels", "nodeSelector"), ({"a": 1}, {"a b": "x"}, {"a": "x y"}, {"a": "x" * 64})
    ),
    **dict.fromkeys(
        ("annotations", "commonAnnotations", "podAnnotations", "deploymentAnnotations"), ({"a": True}, {"": "x"})
    ),
    "imagePullSecrets": (["registry"], [{"nmae": "x"}]),
    "global.imagePullSecrets": ([""], [{"nmae": "x"}], [5]),
    "global.imageRegistry": ("https://registry.test", "/x", "registry.test:99999"),
    "repository": ("", "a b", "https://registry.test/a", "a/"),
    "tag": ("a:b", "-x", "x" * 129),
    "digest": ("sha256:0", "latest"),
    "pullPolicy": ("Sometimes", ""),
    "revisionHistoryLimit": (-1,),
    "resources": ({"limit": {}}, {"limits": {"memory": "1GB"}}, {"requests": {"cpu": -1}}),
    "tolerations": (["gpu"], [{"effect": "NoScheduling"}], [{"operator": "In"}]),
    "podSecurityContext": ({"runAsUser": "root"}, {"readOnlyRootFilesystem": True}, {"fsGroupChangepolicy": "Always"}),
    "securityContext": ({"readOnlyRootFileSystem": True}, {"capabilities": {"drop": "ALL"}}, {"fsGroup": 1}),
    "affinity": (
        {"nodeAfinity": {}},
        {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologykey": "zone"}]}},
    ),
    "topologySpreadConstraints": ([{"maxSkew": 1}], [{"maxSkew": "1", "topologyKey": "z", "whenUnsatisfiable": "x"}]),
    "hostAliases": ([{"hostnames": ["a"]}],),
    "hostUsers": ("no",),
    "dnsPolicy": ("Cluster",),
    "dnsConfig": ({"nameserver": ["192.0.2.1"]}, {"options": [{"name": "ndots", "value": 2}]}),
    **dict.fromkeys(
        ("priorityClassName", "runtimeClassName", "schedulerName", "serviceAccountName", "storageClassName"),
        ("Gold", "a_b"),
    ),
    "extraEnv": (
        [{"name": "A", "value": 5}],
        [{"value": "x"}],
        [{"name": "A", "vaule": "x"}],
        [{"name": "A", "valueFrom": {"secretKey": {}}}],
    ),
    "extraVolumes": ([{"emptyDir": {}}], [{"name": "a", "emptydir": {}}], [{"name": "a", "configMap": "x"}]),
    "extraVolumeMounts": ([{"name": "a"}], [{"name": "a", "mountPath": "/a", "readonly": True}]),
    "extraInitContainers": ([{"name": "a"}], [{"name": "a", "image": "b", "restart": "Always"}]),
    **dict.fromkeys(("ingress", "egress"), (["10.0.0.0/8"],)),
    **dict.fromkeys(
        ("startupProbe", "readinessProbe", "livenessProbe"), ({"periodSeconds": 0}, {"period": 1}, {"httpGet": {}})
    ),
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
        ("Our Secret", "a_b", "a" * 254),
    ),
    **dict.fromkeys(("low", "normal", "high"), ("Gold",)),
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
        ("", "a/b"),
    ),
    "defaultPool": ("Our Pool",),
    "operator.namespaces": ([2024], ["People"], [""]),
    "operator.logLevel": ("trace", "warning"),
    "operator.digestSpreadMinutes": (-1, 241),
    **dict.fromkeys(
        ("operator.rollPerSecond", "operator.memberWritesPerSecond"), (0, 0.0005, 0.0001, -1, 10000, "fast")
    ),
    "jobs.logLevel": ("trace", "debug"),
    "activeDeadlineSeconds": (10, 604801),
    "uninstall.activeDeadlineSeconds": (60, 239, 2**31),
    "migration.activeDeadlineSeconds": (10, 2**31),
    "migration.backoffLimit": (-1, 2**31),
    **dict.fromkeys(("successfulJobsHistoryLimit", "failedJobsHistoryLimit"), (-1, 101)),
    "suggestions.schedule": ("whenever", "0 0 * *", ""),
    "suggestions.shards": (0, 1001),
    "metrics.access": ("closed", ""),
    "metrics.tls.serverName": ("a b", "Metrics"),
    "metrics.replicas": (0, 11),
    "metrics.everySeconds": (4, 3601),
    "metrics.alerts.runbookUrl": ("https://wiki.test/x?a: b", "https://wiki.test/ä"),
    "metrics.alerts.suggestionsStaleHours": (0,),
    "interval": ("30", "", "often"),
    "scrapeTimeout": ("30", "often"),
    "namespace": ("Monitoring", "a.b"),
    **dict.fromkeys(("relabelings", "metricRelabelings"), (["x"], [{"source_labels": ["a"]}])),
    "planning.strategy": ("best", ""),
    "planning.contactHours": ("9:00-17:00", "09:00-24:00", "always"),
    "postgresql.storage": ("big", "1GB"),
    "redis.maxmemory": ("lots", "", "0", "0mb"),
    **dict.fromkeys(
        ("proxy.http", "proxy.https"),
        ("https://proxy.test:3128", "socks5://proxy.test:1080", "http://proxy.test:99999", "http://", "http://p:port"),
    ),
    **dict.fromkeys(
        ("google.apiEndpoint", "google.tokenUri", "twilio.apiBaseUrl", "tracing.endpoint"),
        ("collector:4318", "ftp://a.test", "http://a.test:99999", "http://a.test:0/x", "https:///x", "https://a b"),
    ),
    **dict.fromkeys(("google.projectQuota", "google.userQuota", "google.dayQuota"), (0, -1)),
    "twilio.from": ("+1", "Catch Up Together", "+1 555 0100 000 000", "Ünicode", "ABCDEFGHIJKLMNOPQRSTU"),
    "twilio.messagingServiceSid": ("MG 0", "MGä"),
    "smtp.host": ("mail test", "mäil.test"),
    "smtp.port": (0, 65536),
    "smtp.from": ("a b@c", "Smith, J <a@b.ch>", "digest", "a@b", "a@b..ch", "a@b.ch <a@b.ch>"),
    "smtp.security": ("ssl",),
    "actionBaseUrl": (
        "a.test/act",
        "https://a.test/?a=b",
        "https://a.test/#b",
        f"https://a.test/{'a' * 100}",
        "https://a b",
        "https://a.test/ä",
        "https://a.test:99999/act",
        "https://a.test/<b>",
    ),
    "connectUrl": ("a.test/x", "https://a.test/ä", "https://a.test:99999/?tab=x", 'https://a.test/"'),
    "extraObjects": ([5],),
}


# The values that become variables of a pod as they are, and which ones.
READ: dict[str, Env | str] = {
    "operator.rollPerSecond": "CATCHUP_ROLL_PER_SECOND",
    "operator.memberWritesPerSecond": "CATCHUP_MEMBER_WRITES_PER_SECOND",
    "operator.digestSpreadMinutes": "CATCHUP_DIGEST_SPREAD_MINUTES",
    "operator.logLevel": "CATCHUP_LOG_LEVEL",
    "metrics.access": "CATCHUP_METRICS_ACCESS",
    "jobs.logLevel": Env.LOG_LEVEL,
    "planning.strategy": Env.PLANNING_STRATEGY,
    "planning.contactHours": Env.CONTACT_HOURS,
    "google.projectQuota": Env.GOOGLE_PROJECT_QUOTA,
    "google.userQuota": Env.GOOGLE_USER_QUOTA,
    "google.dayQuota": Env.GOOGLE_DAY_QUOTA,
    "google.apiEndpoint": Env.GOOGLE_API_ENDPOINT,
    "google.tokenUri": Env.GOOGLE_TOKEN_URI,
    "tracing.endpoint": Env.OTLP_ENDPOINT,
    "twilio.from": Env.TWILIO_FROM,
    "twilio.messagingServiceSid": Env.TWILIO_MESSAGING_SERVICE_SID,
    "twilio.apiBaseUrl": Env.TWILIO_API_BASE_URL,
    "smtp.host": Env.SMTP_HOST,
    "smtp.port": Env.SMTP_PORT,
    "smtp.from": Env.SMTP_FROM,
    "smtp.security": Env.SMTP_SECURITY,
    "actionBaseUrl": Env.ACTION_BASE_URL,
    "connectUrl": Env.CONNECT_URL,
    "suggestions.shards": Env.SUGGESTION_SHARDS,
    "suggestions.activeDeadlineSeconds": Env.DEADLINE_SECONDS,
    "jobs.sync.activeDeadlineSeconds": Env.DEADLINE_SECONDS,
    "proxy.https": "HTTPS_PROXY",
    "proxy.http": "HTTP_PROXY",
}
# What both the chart and the pod take.
GOOD: dict[str, tuple[Any, ...]] = {
    "operator.rollPerSecond": (0.001, 0.3, 10, 9999),
    "operator.memberWritesPerSecond": (0.5,),
    "operator.digestSpreadMinutes": (0, 240),
    "operator.logLevel": ("debug",),
    "metrics.access": ("reviewed",),
    "jobs.logLevel": ("info", "error"),
    "planning.strategy": ("earliest",),
    "planning.contactHours": ("00:00-23:59", "09:00-09:01"),
    "google.projectQuota": (1, 20_000_000),
    "google.userQuota": (1, 600),
    "google.dayQuota": (1,),
    "google.apiEndpoint": ("http://google.test:8080/calendar/v3/",),
    "google.tokenUri": ("http://127.0.0.1:65535/token",),
    "tracing.endpoint": ("http://collector.observability:4318", "https://collector.test", "http://[2001:db8::1]:4318"),
    "twilio.from": ("+15550100000", "12345", "CatchUp", "Catch-Up 1", "whatsapp:+15550100000"),
    "twilio.messagingServiceSid": ("MG0",),
    "twilio.apiBaseUrl": ("https://t.test",),
    "smtp.host": ("mail.test", "127.0.0.1"),
    "smtp.port": (1, 65535),
    "smtp.from": ("a@b.ch", "CatchUp <digest@example.com>", '"Smith, J" <a@b.ch>', "Zoë <a.b+c@xn--bcher-kva.example>"),
    "smtp.security": ("tls",),
    "actionBaseUrl": ("https://a.test/act", "http://a.test", "https://a.test:8443/a-b_c~d%20/"),
    "connectUrl": ("https://a.test/?tab=x", "https://a.test/settings#calendar"),
    "suggestions.shards": (1, 1000),
    "suggestions.activeDeadlineSeconds": (60, 604800),
    "jobs.sync.activeDeadlineSeconds": (60, 604800),
    "proxy.https": ("http://proxy.test:3128", "http://ada:p%40ss@[2001:db8::1]:3128", "http://proxy.test/"),
    "proxy.http": ("http://proxy.test:3128",),
}
# The schema can compare no two parts of a text; shards are pods.
BAD_TOGETHER = {"planning.contactHours": ("22:00-08:00", "09:00-09:00")}
ONLY_THE_CHARTS = {"suggestions.shards": (1001,)}


# Set by the chart itself, or as a name of something that it makes.
OF_THE_CHART = {
    "CATCHUP_LOG_FORMAT",
    "CATCHUP_CA_FILE",
    "CATCHUP_NAMESPACES",
    "CATCHUP_JOB_TEMPLATE_FILE",
    "CATCHUP_HEALTH_PORT",
    "CATCHUP_RELEASE",
    "CATCHUP_METRICS_TLS",
    "CATCHUP_METRICS_PORT",
    "CATCHUP_CRONJOB_NAME",
    "CATCHUP_TERMINATION_LOG",
    "NO_PROXY",
    "EXTRA",
}
