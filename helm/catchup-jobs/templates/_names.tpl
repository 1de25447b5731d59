{{- define "catchup.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "catchup.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "catchup.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "catchup.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* The name of a Service is a label of DNS: other objects may have a dot in theirs, as a release may. Takes a name. */}}
{{- define "catchup.checkService" -}}
{{- if contains "." . }}
{{- fail (printf "the Service %s cannot have a dot in its name, as the release has: set fullnameOverride" .) }}
{{- end }}
{{- end }}

{{- define "catchup.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace }}
{{- end }}

{{/* Objects of the cluster itself are named per release. The hash tells b-c in the namespace a from c in a-b. */}}
{{- define "catchup.clusterName" -}}
{{- printf "%s-%s-%s" (include "catchup.namespace" .) (include "catchup.fullname" .) (include "catchup.releaseName" . | sha256sum | trunc 6) }}
{{- end }}

{{/* Who holds the Lease of a served namespace. */}}
{{- define "catchup.releaseName" -}}
{{- printf "%s/%s" (include "catchup.namespace" .) (include "catchup.fullname" .) }}
{{- end }}

{{- define "catchup.serviceAccountName" -}}
{{- .Values.operator.serviceAccount.name | default (printf "%s-operator" (include "catchup.fullname" .)) }}
{{- end }}

{{/* Takes a dict: context, component. */}}
{{- define "catchup.selector" -}}
app.kubernetes.io/name: {{ include "catchup.name" .context | quote }}
app.kubernetes.io/instance: {{ .context.Release.Name | quote }}
app.kubernetes.io/component: {{ .component | quote }}
{{- end }}

{{/* The labels of pods: without a version, so that an upgrade restarts only what it changes. Takes what
catchup.selector takes. */}}
{{- define "catchup.stableLabels" -}}
{{ include "catchup.selector" . }}
app.kubernetes.io/managed-by: {{ .context.Release.Service | quote }}
app.kubernetes.io/part-of: catchup-jobs
{{- end }}

{{/* The metadata of an object. Takes a dict: context, component, name; namespace, where it is not the release's, and
empty for objects of the cluster; labels and annotations of its own. */}}
{{- define "catchup.metadata" -}}
{{- $version := printf "%s-%s" .context.Chart.Name .context.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- $labels := include "catchup.stableLabels" . | fromYaml }}
{{- $labels = merge $labels (dict "helm.sh/chart" $version "app.kubernetes.io/version" .context.Chart.AppVersion) }}
{{- $labels = merge $labels (.labels | default dict) (.context.Values.commonLabels | default dict) }}
{{- $metadata := dict "name" .name "labels" $labels }}
{{- with hasKey . "namespace" | ternary .namespace (include "catchup.namespace" .context) }}
{{- $_ := set $metadata "namespace" . }}
{{- end }}
{{- with merge (dict) (.annotations | default dict) (.context.Values.commonAnnotations | default dict) }}
{{- $_ := set $metadata "annotations" . }}
{{- end }}
{{- $metadata | toYaml }}
{{- end }}

{{/* Secrets of the user's or of the chart. */}}
{{- define "catchup.databaseSecret" -}}
{{- .Values.database.existingSecret | default (printf "%s-database" (include "catchup.fullname" .)) }}
{{- end }}
{{- define "catchup.redisSecret" -}}
{{- .Values.redis.existingSecret | default (printf "%s-redis" (include "catchup.fullname" .)) }}
{{- end }}
{{- define "catchup.encryptionSecret" -}}
{{- .Values.encryption.existingSecret | default (printf "%s-encryption" (include "catchup.fullname" .)) }}
{{- end }}

{{/* The PriorityClass of the users of a priority. Takes a dict: context, priority. Empty where there is none for it. */}}
{{- define "catchup.priorityClass" -}}
{{- $given := index .context.Values.jobs.priorityClasses .priority }}
{{- if $given }}
{{- $given }}
{{- else if .context.Values.jobs.priorityClasses.create }}
{{- include "catchup.ownPriorityClass" . }}
{{- end }}
{{- end }}

{{/* The name of the one that the release makes for it. Takes the same. */}}
{{- define "catchup.ownPriorityClass" -}}
{{- $suffix := ternary "deferred" .priority (eq .priority "low") }}
{{- $name := printf "%s-%s" (include "catchup.clusterName" .context) $suffix }}
{{- /* A release keeps the names that it has had: a rollback to an older chart finds the classes of its CronJobs. */}}
{{- $before := printf "%s-%s-%s" (include "catchup.namespace" .context) (include "catchup.fullname" .context) $suffix }}
{{- range include "catchup.priorityClasses" .context | fromJsonArray }}
{{- if eq .metadata.name $before }}{{ $name = $before }}{{ end }}
{{- end }}
{{- $name }}
{{- end }}

{{/* The PriorityClasses that the release has so far, as JSON. None at an installation, nor where nothing can be looked up.
The operator's ConfigMap names them: who installs in one namespace may not list objects of the cluster. That of an older
chart does not; then a list does. */}}
{{- define "catchup.priorityClasses" -}}
{{- $candidates := list }}
{{- if .Release.IsUpgrade }}
{{- $config := lookup "v1" "ConfigMap" (include "catchup.namespace" .) (printf "%s-operator" (include "catchup.fullname" .)) }}
{{- if hasKey ($config.data | default dict) "priorityClasses" }}
{{- range splitList "," $config.data.priorityClasses | compact }}
{{- with lookup "scheduling.k8s.io/v1" "PriorityClass" "" . }}{{ $candidates = append $candidates . }}{{ end }}
{{- end }}
{{- else }}
{{- $candidates = (lookup "scheduling.k8s.io/v1" "PriorityClass" "" "").items | default list }}
{{- end }}
{{- end }}
{{- $found := list }}
{{- $name := include "catchup.name" . }}
{{- range $candidates }}
{{- $labels := .metadata.labels | default dict }}
{{- $notes := .metadata.annotations | default dict }}
{{- $release := list (get $notes "meta.helm.sh/release-namespace") (get $notes "meta.helm.sh/release-name") }}
{{- /* Another chart of the release may have some, too. */}}
{{- if and (eq (join "/" $release) (printf "%s/%s" $.Release.Namespace $.Release.Name)) (eq (get $labels "app.kubernetes.io/name") $name) }}
{{- $found = append $found . }}
{{- end }}
{{- end }}
{{- $found | toJson }}
{{- end }}

{{/* Those that it has from now on, as JSON, by their names. */}}
{{- define "catchup.newPriorityClasses" -}}
{{- $classes := dict }}
{{- range include "catchup.priorityClasses" . | fromJsonArray }}
{{- $_ := set $classes .metadata.name (set (pick . "preemptionPolicy" "description") "value" (int .value)) }}
{{- end }}
{{- if .Values.jobs.priorityClasses.create }}
{{- range $priority, $value := dict "low" -5 "normal" 0 "high" 1000 }}
{{- $description := printf "CatchUp's jobs of users whose UserSchedule has the priority %s." $priority }}
{{- $class := dict "value" $value "preemptionPolicy" "Never" "description" $description }}
{{- $_ := set $classes (include "catchup.ownPriorityClass" (dict "context" $ "priority" $priority)) $class }}
{{- end }}
{{- end }}
{{- $classes | toJson }}
{{- end }}
