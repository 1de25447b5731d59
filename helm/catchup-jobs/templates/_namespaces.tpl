{{/* The served namespaces; none stands for all. */}}
{{- define "catchup.namespaces" -}}
{{- if not .Values.operator.allNamespaces }}
{{- .Values.operator.namespaces | default (list (include "catchup.namespace" .)) | uniq | toJson }}
{{- else if .Values.operator.namespaces }}
{{- fail "operator.namespaces and operator.allNamespaces exclude each other: name the namespaces, or serve all" }}
{{- else }}
{{- list | toJson }}
{{- end }}
{{- end }}

{{/* Those of them that are there: an upgrade must not fail since one was deleted. Without a cluster, as in `helm template`, all. */}}
{{- define "catchup.presentNamespaces" -}}
{{- $namespaces := include "catchup.namespaces" . }}
{{- $own := include "catchup.namespace" . }}
{{- if and .Release.IsUpgrade (lookup "v1" "Namespace" "" $own) }}
{{- $namespaces = include "catchup.activeNamespaces" (dict "namespaces" ($namespaces | fromJsonArray) "own" $own) }}
{{- end }}
{{- $namespaces }}
{{- end }}

{{/* Those of some namespaces in which something can be made. Takes a dict: namespaces; own, one that is not looked up. */}}
{{- define "catchup.activeNamespaces" -}}
{{- $active := list }}
{{- range .namespaces }}
{{- if or (eq . ($.own | default "")) (eq "Active" (dig "status" "phase" "" (lookup "v1" "Namespace" "" .))) }}
{{- $active = append $active . }}
{{- end }}
{{- end }}
{{- $active | toJson }}
{{- end }}

{{/* What the operator of this release serves at present and will not serve any more: a list of namespaces, or "*" for all but the new ones.
The ConfigMap says it: the hook that leaves them deletes the Deployment first, and must know them again when it is repeated.
That of an older chart does not; then the Deployment does. */}}
{{- define "catchup.leftNamespaces" -}}
{{- $left := list }}
{{- $new := include "catchup.namespaces" . | fromJsonArray }}
{{- if and .Release.IsUpgrade $new }}
{{- $config := lookup "v1" "ConfigMap" (include "catchup.namespace" .) (printf "%s-operator" (include "catchup.fullname" .)) }}
{{- $served := list }}
{{- if hasKey ($config.data | default dict) "namespaces" }}
{{- $served = list $config.data.namespaces }}
{{- else }}
{{- $deployment := lookup "apps/v1" "Deployment" (include "catchup.namespace" .) (printf "%s-operator" (include "catchup.fullname" .)) }}
{{- range dig "spec" "template" "spec" "containers" list ($deployment | default dict) }}
{{- range .env }}
{{- if eq .name "CATCHUP_NAMESPACES" }}{{ $served = list (.value | default "") }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- range $served }}
{{- range splitList "," (. | default "*") }}
{{- if not (has . $new) }}{{ $left = append $left . }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- $left | toJson }}
{{- end }}

{{/* Takes a dict: context, name, component, account, rules. A Role and its binding in each served namespace, or for all. */}}
{{- define "catchup.permissions" -}}
{{- $all := .context.Values.operator.allNamespaces }}
{{- $scopes := ternary (list "") (include "catchup.presentNamespaces" .context | fromJsonArray) $all }}
{{- include "catchup.permissionsIn" (merge (dict "scopes" $scopes) .) }}
{{- end }}

{{/* Takes the same and scopes, the namespaces, of which an empty one stands for all; annotations. */}}
{{- define "catchup.permissionsIn" -}}
{{- range $namespace := .scopes }}
{{- $kind := ternary "Role" "ClusterRole" (ne $namespace "") }}
{{- $name := $namespace | empty | ternary (printf "%s%s" (include "catchup.clusterName" $.context) (trimPrefix (include "catchup.fullname" $.context) $.name)) $.name }}
{{- $metadata := include "catchup.metadata" (dict "context" $.context "component" $.component "name" $name "namespace" $namespace "annotations" $.annotations) }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata: {{- $metadata | nindent 2 }}
rules: {{- $.rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata: {{- $metadata | nindent 2 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: {{ $kind }}, name: {{ $name | quote }}}
subjects:
  - kind: ServiceAccount
    name: {{ $.account | quote }}
    namespace: {{ include "catchup.namespace" $.context | quote }}
{{ end }}
{{- end }}

{{/* What job pods name, and so what each served namespace must hold, as words: "Secret x". What is optional may be absent. */}}
{{- define "catchup.jobsNeeds" -}}
{{- $template := merge (include "catchup.jobTemplate" . | fromYaml) (dict "pod" dict) }}
{{- $needs := list }}
{{- range prepend ($template.pod.initContainers | default list) $template }}
{{- range .env }}
{{- with .valueFrom }}
{{- with .secretKeyRef }}{{ if not .optional }}{{ $needs = append $needs (printf "Secret %s" .name) }}{{ end }}{{ end }}
{{- with .configMapKeyRef }}{{ if not .optional }}{{ $needs = append $needs (printf "ConfigMap %s" .name) }}{{ end }}{{ end }}
{{- end }}
{{- end }}
{{- range .envFrom }}
{{- with .secretRef }}{{ if not .optional }}{{ $needs = append $needs (printf "Secret %s" .name) }}{{ end }}{{ end }}
{{- with .configMapRef }}{{ if not .optional }}{{ $needs = append $needs (printf "ConfigMap %s" .name) }}{{ end }}{{ end }}
{{- end }}
{{- end }}
{{- range $template.volumes }}
{{- with .persistentVolumeClaim }}{{ $needs = append $needs (printf "PersistentVolumeClaim %s" .claimName) }}{{ end }}
{{- with (.csi).nodePublishSecretRef }}{{ $needs = append $needs (printf "Secret %s" .name) }}{{ end }}
{{- with .configMap }}{{ if not .optional }}{{ $needs = append $needs (printf "ConfigMap %s" .name) }}{{ end }}{{ end }}
{{- with .secret }}{{ if not .optional }}{{ $needs = append $needs (printf "Secret %s" .secretName) }}{{ end }}{{ end }}
{{- range (.projected).sources }}
{{- with .configMap }}{{ if not .optional }}{{ $needs = append $needs (printf "ConfigMap %s" .name) }}{{ end }}{{ end }}
{{- with .secret }}{{ if not .optional }}{{ $needs = append $needs (printf "Secret %s" .name) }}{{ end }}{{ end }}
{{- end }}
{{- end }}
{{- range $template.pod.imagePullSecrets }}
{{- $needs = append $needs (printf "Secret %s" .name) }}
{{- end }}
{{- with $template.pod.serviceAccountName }}
{{- $needs = append $needs (printf "ServiceAccount %s" .) }}
{{- end }}
{{- $needs | uniq | sortAlpha | toJson }}
{{- end }}

{{/* Those of them that the chart makes. */}}
{{- define "catchup.jobsSecrets" -}}
{{- $made := list }}
{{- if not .Values.database.existingSecret }}{{ $made = append $made (printf "Secret %s" (include "catchup.databaseSecret" .)) }}{{ end }}
{{- if not .Values.redis.existingSecret }}{{ $made = append $made (printf "Secret %s" (include "catchup.redisSecret" .)) }}{{ end }}
{{- if not .Values.encryption.existingSecret }}{{ $made = append $made (printf "Secret %s" (include "catchup.encryptionSecret" .)) }}{{ end }}
{{- $made | toJson }}
{{- end }}
