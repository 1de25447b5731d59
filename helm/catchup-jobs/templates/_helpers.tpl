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

{{/* Takes a dict: context, component. */}}
{{- define "catchup.selector" -}}
app.kubernetes.io/name: {{ include "catchup.name" .context }}
app.kubernetes.io/instance: {{ .context.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "catchup.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .context.Chart.Name .context.Chart.Version }}
app.kubernetes.io/version: {{ .context.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .context.Release.Service }}
app.kubernetes.io/part-of: catchup-jobs
{{ include "catchup.selector" . }}
{{- with .context.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Takes a dict: context, image. */}}
{{- define "catchup.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .context.Chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "catchup.serviceAccountName" -}}
{{- .Values.operator.serviceAccount.name | default (printf "%s-operator" (include "catchup.fullname" .)) }}
{{- end }}

{{/* The served namespaces; none stands for all. */}}
{{- define "catchup.namespaces" -}}
{{- if not .Values.operator.allNamespaces }}
{{- .Values.operator.namespaces | default (list .Release.Namespace) | uniq | toJson }}
{{- else if .Values.operator.namespaces }}
{{- fail "operator.namespaces and operator.allNamespaces exclude each other: name the namespaces, or serve all" }}
{{- else }}
{{- list | toJson }}
{{- end }}
{{- end }}

{{/* Those of them that are there: an upgrade must not fail since one was deleted. Without a cluster, as in `helm template`, all. */}}
{{- define "catchup.presentNamespaces" -}}
{{- $present := list }}
{{- $connected := and .Release.IsUpgrade (lookup "v1" "Namespace" "" .Release.Namespace) }}
{{- range $namespace := include "catchup.namespaces" . | fromJsonArray }}
{{- $found := true }}
{{- if and $connected (ne $namespace $.Release.Namespace) }}
{{- $found = eq "Active" (dig "status" "phase" "" (lookup "v1" "Namespace" "" $namespace)) }}
{{- end }}
{{- if $found }}{{ $present = append $present $namespace }}{{ end }}
{{- end }}
{{- $present | toJson }}
{{- end }}

{{/* What the operator of this release serves at present and will not serve any more: a list of namespaces, or "*" for all but the new ones. */}}
{{- define "catchup.leftNamespaces" -}}
{{- $left := list }}
{{- $new := include "catchup.namespaces" . | fromJsonArray }}
{{- $deployment := lookup "apps/v1" "Deployment" .Release.Namespace (printf "%s-operator" (include "catchup.fullname" .)) }}
{{- if and .Release.IsUpgrade $deployment $new }}
{{- range (index $deployment.spec.template.spec.containers 0).env }}
{{- if eq .name "CATCHUP_NAMESPACES" }}
{{- range splitList "," (.value | default "*") }}
{{- if not (has . $new) }}{{ $left = append $left . }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- $left | toJson }}
{{- end }}

{{/* Objects of the cluster itself are named per release. */}}
{{- define "catchup.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "catchup.fullname" .) }}
{{- end }}

{{/* Who holds the Lease of a served namespace. */}}
{{- define "catchup.releaseName" -}}
{{- printf "%s/%s" .Release.Namespace (include "catchup.fullname" .) }}
{{- end }}

{{/* Takes a dict: context, name, component, rules. A Role and its binding in each served namespace, or for all. */}}
{{- define "catchup.permissions" -}}
{{- $all := .context.Values.operator.allNamespaces }}
{{- $scopes := ternary (list "") (include "catchup.presentNamespaces" .context | fromJsonArray) $all }}
{{- range $namespace := $scopes }}
{{- $kind := ternary "Role" "ClusterRole" (ne $namespace "") }}
{{- $metadata := dict "name" $.name "labels" (include "catchup.labels" $ | fromYaml) }}
{{- if $namespace }}
{{- $_ := set $metadata "namespace" $namespace }}
{{- else }}
{{- $_ := set $metadata "name" (printf "%s-%s" $.context.Release.Namespace $.name) }}
{{- end }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata: {{- toYaml $metadata | nindent 2 }}
rules: {{- $.rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata: {{- toYaml $metadata | nindent 2 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: {{ $kind }}, name: {{ $metadata.name }}}
subjects:
  - {kind: ServiceAccount, name: {{ $.account }}, namespace: {{ $.context.Release.Namespace }}}
{{ end }}
{{- end }}

{{/* What job pods name, and so what each served namespace must hold, as words: "Secret x". */}}
{{- define "catchup.jobsNeeds" -}}
{{- $template := include "catchup.jobTemplate" . | fromYaml }}
{{- $needs := list }}
{{- range $template.env }}
{{- with .valueFrom }}
{{- with .secretKeyRef }}{{ $needs = append $needs (printf "Secret %s" .name) }}{{ end }}
{{- with .configMapKeyRef }}{{ $needs = append $needs (printf "ConfigMap %s" .name) }}{{ end }}
{{- end }}
{{- end }}
{{- range $template.volumes }}
{{- with .configMap }}{{ $needs = append $needs (printf "ConfigMap %s" .name) }}{{ end }}
{{- end }}
{{- range .Values.imagePullSecrets }}
{{- $needs = append $needs (printf "Secret %s" .name) }}
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

{{- define "catchup.databaseSecret" -}}
{{- .Values.database.existingSecret | default (printf "%s-database" (include "catchup.fullname" .)) }}
{{- end }}
{{- define "catchup.redisSecret" -}}
{{- .Values.redis.existingSecret | default (printf "%s-redis" (include "catchup.fullname" .)) }}
{{- end }}
{{- define "catchup.encryptionSecret" -}}
{{- .Values.encryption.existingSecret | default (printf "%s-encryption" (include "catchup.fullname" .)) }}
{{- end }}

{{- define "catchup.podSecurity" -}}
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- end }}
{{- define "catchup.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* The last of the env entries of each name: the API server cannot apply a list that names one twice. */}}
{{- define "catchup.lastOfEach" -}}
{{- $names := list }}
{{- $last := dict }}
{{- range fromYamlArray . }}
{{- $names = append $names .name | uniq }}
{{- $_ := set $last .name . }}
{{- end }}
{{- range $names }}
- {{ get $last . | toYaml | nindent 2 | trim }}
{{- end }}
{{- end }}

{{/* The settings of every container of the jobs' image. */}}
{{- define "catchup.jobsEnv" -}}
{{- include "catchup.lastOfEach" (include "catchup.jobsEnvEntries" .) }}
{{- end }}
{{- define "catchup.jobsEnvEntries" -}}
- name: CATCHUP_LOG_FORMAT
  value: json
- name: CATCHUP_PLANNING_STRATEGY
  value: {{ .Values.planning.strategy | quote }}
- name: CATCHUP_CONTACT_HOURS
  value: {{ .Values.planning.contactHours | quote }}
- name: CATCHUP_DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ include "catchup.databaseSecret" . }}, key: {{ ternary .Values.database.existingSecretKey "url" (ne .Values.database.existingSecret "") }}}}
- name: CATCHUP_REDIS_URL
  valueFrom: {secretKeyRef: {name: {{ include "catchup.redisSecret" . }}, key: {{ ternary .Values.redis.existingSecretKey "url" (ne .Values.redis.existingSecret "") }}}}
- name: CATCHUP_ENCRYPTION_KEYS
  valueFrom: {secretKeyRef: {name: {{ include "catchup.encryptionSecret" . }}, key: {{ ternary .Values.encryption.existingSecretKey "keys" (ne .Values.encryption.existingSecret "") }}}}
{{- with .Values.google }}
{{- if .existingSecret }}
- name: CATCHUP_GOOGLE_CLIENT_ID
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .clientIdKey }}}}
- name: CATCHUP_GOOGLE_CLIENT_SECRET
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .clientSecretKey }}}}
{{- end }}
{{- if .apiEndpoint }}
- name: CATCHUP_GOOGLE_API_ENDPOINT
  value: {{ .apiEndpoint | quote }}
{{- end }}
{{- if .tokenUri }}
- name: CATCHUP_GOOGLE_TOKEN_URI
  value: {{ .tokenUri | quote }}
{{- end }}
{{- end }}
{{- with .Values.twilio }}
{{- if .existingSecret }}
- name: CATCHUP_TWILIO_ACCOUNT_SID
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .accountSidKey }}}}
- name: CATCHUP_TWILIO_AUTH_TOKEN
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .authTokenKey }}}}
{{- end }}
{{- if .from }}
- name: CATCHUP_TWILIO_FROM
  value: {{ .from | quote }}
{{- end }}
{{- if .messagingServiceSid }}
- name: CATCHUP_TWILIO_MESSAGING_SERVICE_SID
  value: {{ .messagingServiceSid | quote }}
{{- end }}
{{- if .apiBaseUrl }}
- name: CATCHUP_TWILIO_API_BASE_URL
  value: {{ .apiBaseUrl | quote }}
{{- end }}
{{- end }}
{{- with .Values.smtp }}
{{- if .host }}
- name: CATCHUP_SMTP_HOST
  value: {{ .host | quote }}
- name: CATCHUP_SMTP_PORT
  value: {{ .port | quote }}
- name: CATCHUP_SMTP_SECURITY
  value: {{ .security }}
- name: CATCHUP_SMTP_FROM
  value: {{ required "smtp.from must be the sender's address where smtp.host is set" .from | quote }}
{{- if .existingSecret }}
- name: CATCHUP_SMTP_USERNAME
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .usernameKey }}}}
- name: CATCHUP_SMTP_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .passwordKey }}}}
{{- end }}
{{- if .caConfigMap }}
- name: CATCHUP_SMTP_CA_FILE
  value: /etc/catchup/smtp-ca/{{ .caConfigMapKey }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.actionBaseUrl }}
- name: CATCHUP_ACTION_BASE_URL
  value: {{ . | quote }}
{{- end }}
{{- with .Values.connectUrl }}
- name: CATCHUP_CONNECT_URL
  value: {{ . | quote }}
{{- end }}
{{- with .Values.jobs.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Takes a dict: context, priority. Empty where there is none for it. */}}
{{- define "catchup.priorityClass" -}}
{{- $given := index .context.Values.jobs.priorityClasses .priority }}
{{- if $given }}
{{- $given }}
{{- else if .context.Values.jobs.priorityClasses.create }}
{{- printf "%s-%s" (include "catchup.clusterName" .context) (ternary "deferred" .priority (eq .priority "low")) }}
{{- end }}
{{- end }}

{{/* What those settings and the URLs of Redis and PostgreSQL name is mounted where they say. */}}
{{- define "catchup.jobsVolumes" -}}
{{- range $server := list "smtp" "redis" "database" }}
{{- with (index $.Values $server).caConfigMap }}
- name: {{ $server }}-ca
  configMap: {name: {{ . }}}
{{- end }}
{{- end }}
{{- end }}
{{- define "catchup.jobsVolumeMounts" -}}
{{- range $server := list "smtp" "redis" "database" }}
{{- with (index $.Values $server).caConfigMap }}
- {name: {{ $server }}-ca, mountPath: /etc/catchup/{{ $server }}-ca, readOnly: true}
{{- end }}
{{- end }}
{{- end }}

{{/* The fields of a pod that are the jobs' own. */}}
{{- define "catchup.jobsPod" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- range $field := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" }}
{{- with index $.Values.jobs $field }}
{{ $field }}: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}
