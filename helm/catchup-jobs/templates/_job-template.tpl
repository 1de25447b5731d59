{{/* What the operator puts into every job's pod; read by catchup_operator.template_file. */}}
{{- define "catchup.jobTemplate" -}}
image: {{ include "catchup.image" (dict "context" . "image" .Values.jobs.image) }}
imagePullPolicy: {{ .Values.jobs.image.pullPolicy }}
resources: {{- toYaml .Values.jobs.resources | nindent 2 }}
{{- with .Values.jobs.podLabels }}
podLabels: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.jobs.podAnnotations }}
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
{{- with include "catchup.jobsVolumes" . | fromYamlArray }}
volumes: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "catchup.jobsVolumeMounts" . | fromYamlArray }}
volumeMounts: {{- toYaml . | nindent 2 }}
{{- end }}
env:
  {{- include "catchup.jobsEnv" . | nindent 2 }}
{{- end }}
