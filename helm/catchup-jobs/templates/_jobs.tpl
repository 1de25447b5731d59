{{/* What every container of the jobs' image gets: users' jobs, suggestions, toolbox, migration, test. Their pods are
made of the values `jobs`. */}}

{{/* A variable from a Secret of the user's, or of the chart. Takes a dict: variable, secret, key. */}}
{{- define "catchup.secretEnv" -}}
- name: {{ .variable }}
  valueFrom: {secretKeyRef: {name: {{ .secret | quote }}, key: {{ .key | quote }}}}
{{- end }}

{{- define "catchup.jobsEnv" -}}
{{- $hours := splitList "-" .Values.planning.contactHours }}
{{- if ge (first $hours) (last $hours) }}
{{- fail "planning.contactHours must be hours of one day, the first before the second" }}
{{- end }}
- name: CATCHUP_LOG_FORMAT
  value: json
- name: CATCHUP_LOG_LEVEL
  value: {{ .Values.jobs.logLevel | quote }}
- name: CATCHUP_PLANNING_STRATEGY
  value: {{ .Values.planning.strategy | quote }}
- name: CATCHUP_CONTACT_HOURS
  value: {{ .Values.planning.contactHours | quote }}
{{- with .Values.tracing.endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
- name: TRACEPARENT
  valueFrom: {fieldRef: {fieldPath: "metadata.annotations['catchup.dev/traceparent']"}}
{{- end }}
{{ with .Values.database -}}
{{- include "catchup.secretEnv" (dict "variable" "CATCHUP_DATABASE_URL" "secret" (include "catchup.databaseSecret" $) "key" (.existingSecret | empty | ternary "url" .existingSecretKey)) }}
{{- end }}
{{ with .Values.redis -}}
{{- include "catchup.secretEnv" (dict "variable" "CATCHUP_REDIS_URL" "secret" (include "catchup.redisSecret" $) "key" (.existingSecret | empty | ternary "url" .existingSecretKey)) }}
{{- end }}
{{ with .Values.encryption -}}
{{- include "catchup.secretEnv" (dict "variable" "CATCHUP_ENCRYPTION_KEYS" "secret" (include "catchup.encryptionSecret" $) "key" (.existingSecret | empty | ternary "keys" .existingSecretKey)) }}
{{- end }}
{{- with .Values.google }}
{{- if .existingSecret }}
{{ include "catchup.secretEnv" (dict "variable" "CATCHUP_GOOGLE_CLIENT_ID" "secret" .existingSecret "key" .clientIdKey) }}
{{ include "catchup.secretEnv" (dict "variable" "CATCHUP_GOOGLE_CLIENT_SECRET" "secret" .existingSecret "key" .clientSecretKey) }}
{{- end }}
{{- if .apiEndpoint }}
- name: CATCHUP_GOOGLE_API_ENDPOINT
  value: {{ .apiEndpoint | quote }}
{{- end }}
{{- if .tokenUri }}
- name: CATCHUP_GOOGLE_TOKEN_URI
  value: {{ .tokenUri | quote }}
{{- end }}
- name: CATCHUP_GOOGLE_PROJECT_QUOTA
  value: {{ .projectQuota | int64 | quote }}
- name: CATCHUP_GOOGLE_USER_QUOTA
  value: {{ .userQuota | int64 | quote }}
- name: CATCHUP_GOOGLE_DAY_QUOTA
  value: {{ .dayQuota | int64 | quote }}
{{- end }}
{{- with .Values.twilio }}
{{- if ne (empty .existingSecret) (and (empty .from) (empty .messagingServiceSid)) }}
{{- fail "twilio.existingSecret and a sender go together: set twilio.from or twilio.messagingServiceSid with it, or none of the three" }}
{{- end }}
{{- if .existingSecret }}
{{ include "catchup.secretEnv" (dict "variable" "CATCHUP_TWILIO_ACCOUNT_SID" "secret" .existingSecret "key" .accountSidKey) }}
{{ include "catchup.secretEnv" (dict "variable" "CATCHUP_TWILIO_AUTH_TOKEN" "secret" .existingSecret "key" .authTokenKey) }}
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
  value: {{ .security | quote }}
- name: CATCHUP_SMTP_FROM
  value: {{ required "smtp.from must be the sender's address where smtp.host is set" .from | quote }}
{{- if .existingSecret }}
{{ include "catchup.secretEnv" (dict "variable" "CATCHUP_SMTP_USERNAME" "secret" .existingSecret "key" .usernameKey) }}
{{ include "catchup.secretEnv" (dict "variable" "CATCHUP_SMTP_PASSWORD" "secret" .existingSecret "key" .passwordKey) }}
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
{{- if include "catchup.caVolume" . }}
- name: CATCHUP_CA_FILE
  value: {{ printf "/etc/catchup/ca/%s" .Values.caBundle.key | quote }}
{{- end }}
{{- range $variable, $value := dict "HTTP_PROXY" .Values.proxy.http "HTTPS_PROXY" .Values.proxy.https "NO_PROXY" .Values.proxy.noProxy }}
{{- with $value }}
- name: {{ $variable }}
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Empty where there is no CA bundle. */}}
{{- define "catchup.caVolume" -}}
{{- with .Values.caBundle }}
{{- if and .configMap .secret }}
{{- fail "caBundle.configMap and caBundle.secret exclude each other: name one" }}
{{- else if .configMap }}
- name: ca
  configMap: {name: {{ .configMap | quote }}}
{{- else if .secret }}
- name: ca
  secret: {secretName: {{ .secret | quote }}}
{{- end }}
{{- end }}
{{- end }}

{{- define "catchup.jobsMounts" -}}
{{- if include "catchup.caVolume" . }}
- {name: ca, mountPath: /etc/catchup/ca, readOnly: true}
{{- end }}
{{- end }}

{{/* The fields of those pods' specs beside containers and volumes. */}}
{{- define "catchup.jobsPod" -}}
{{- $pod := include "catchup.pod" (dict "context" . "settings" .Values.jobs) | fromYaml }}
{{- with .Values.jobs.serviceAccountName }}{{ $_ := set $pod "serviceAccountName" . }}{{ end }}
{{- with $pod }}{{ toYaml . }}{{ end }}
{{- end }}

{{/* The same for a pod that no operator completes. */}}
{{- define "catchup.ownJobsPod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{ include "catchup.jobsPod" . }}
volumes: {{- include "catchup.volumes" (dict "context" . "settings" .Values.jobs "volumes" (printf "%s\n%s" "- {name: tmp, emptyDir: {sizeLimit: 64Mi}}" (include "catchup.caVolume" .))) | nindent 2 }}
{{- end }}

{{/* Its container. Takes a dict: context, resources; env and mounts of its own as YAML. */}}
{{- define "catchup.ownJobsContainer" -}}
{{- $values := .context.Values }}
{{- $env := printf "%s\n%s" (.env | default "") (include "catchup.jobsEnv" .context) }}
{{- $mounts := printf "%s\n%s\n%s" "- {name: tmp, mountPath: /tmp}" (include "catchup.jobsMounts" .context) (.mounts | default "") }}
{{- include "catchup.container" (dict "context" .context "settings" $values.jobs "image" $values.jobs.image "resources" .resources "env" $env "mounts" $mounts) }}
{{- end }}

{{/* What the operator puts into every job's pod; read by catchup_operator.template_file. */}}
{{- define "catchup.jobTemplate" -}}
{{- $jobs := dict "context" . "settings" .Values.jobs }}
{{- include "catchup.container" (merge (dict "image" .Values.jobs.image "resources" .Values.jobs.resources "env" (include "catchup.jobsEnv" .) "mounts" (include "catchup.jobsMounts" .)) $jobs) }}
{{- with .Values.commonLabels }}
labels: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.commonAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with (include "catchup.setting" (merge (dict "field" "podLabels") $jobs) | fromJson).value }}
podLabels: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with (include "catchup.setting" (merge (dict "field" "podAnnotations") $jobs) | fromJson).value }}
podAnnotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "catchup.jobsPod" . | fromYaml }}
pod: {{- toYaml . | nindent 2 }}
{{- end }}
{{- $classes := dict }}
{{- range $priority := list "low" "normal" "high" }}
{{- with include "catchup.priorityClass" (dict "context" $ "priority" $priority) }}
{{- $_ := set $classes $priority . }}
{{- end }}
{{- end }}
{{- with $classes }}
priorityClasses: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "catchup.volumes" (merge (dict "volumes" (include "catchup.caVolume" .)) $jobs) | fromYamlArray }}
volumes: {{- toYaml . | nindent 2 }}
{{- end }}
kinds:
  sync: {{- toYaml .Values.jobs.sync | nindent 4 }}
  digest: {{- toYaml .Values.jobs.digest | nindent 4 }}
{{- end }}
