{{/* Every pod of the chart is made of these. `settings` is the component's values (operator, jobs, postgresql, redis);
what they leave empty comes from `global`.

What the two say of a field, as JSON under `value`: maps are merged, lists of additions are joined, and all else of the
component replaces that of `global`. Takes a dict: context, settings, field. */}}
{{- define "catchup.setting" -}}
{{- $common := index .context.Values.global .field }}
{{- $own := index .settings .field }}
{{- if has .field (list "podLabels" "podAnnotations" "deploymentLabels" "deploymentAnnotations" "podSecurityContext" "securityContext") }}
{{- dict "value" (mustMergeOverwrite (dict) ($common | default dict | deepCopy) ($own | default dict | deepCopy)) | toJson }}
{{- else if has .field (list "extraEnv" "extraVolumes" "extraVolumeMounts" "extraInitContainers") }}
{{- dict "value" (concat ($common | default list) ($own | default list) | default list) | toJson }}
{{- else }}
{{- dict "value" (kindIs "invalid" $own | or (empty $own | and (ne (kindOf $own) "bool")) | ternary $common $own) | toJson }}
{{- end }}
{{- end }}

{{/* Takes a dict: context, component, settings; labels and annotations of its own. */}}
{{- define "catchup.podMetadata" -}}
{{- $values := .context.Values }}
{{- $labels := include "catchup.stableLabels" . | fromYaml }}
{{- $chosen := (include "catchup.setting" (merge (dict "field" "podLabels") .) | fromJson).value }}
{{- $metadata := dict "labels" (merge $labels (.labels | default dict) $chosen ($values.commonLabels | default dict)) }}
{{- $chosen = (include "catchup.setting" (merge (dict "field" "podAnnotations") .) | fromJson).value }}
{{- with merge (dict) (.annotations | default dict) $chosen ($values.commonAnnotations | default dict) }}
{{- $_ := set $metadata "annotations" . }}
{{- end }}
{{- $metadata | toYaml }}
{{- end }}

{{/* The metadata of a Deployment or StatefulSet. Takes a dict: context, component, settings, name. */}}
{{- define "catchup.workloadMetadata" -}}
{{- $annotations := (include "catchup.setting" (merge (dict "field" "deploymentAnnotations") .) | fromJson).value }}
{{- $labels := (include "catchup.setting" (merge (dict "field" "deploymentLabels") .) | fromJson).value }}
{{- include "catchup.metadata" (merge (dict "annotations" $annotations "labels" $labels) .) }}
{{- end }}

{{/* The fields of a pod's spec beside containers and volumes. Takes a dict: context, settings; ids, whether the image
wants the user and group 999, where the cluster does not choose them. */}}
{{- define "catchup.pod" -}}
{{- $pod := dict }}
{{- range $field := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" "runtimeClassName" "schedulerName" "hostUsers" "dnsPolicy" "dnsConfig" "hostAliases" }}
{{- $value := (include "catchup.setting" (merge (dict "field" $field) $) | fromJson).value }}
{{- if not (kindIs "invalid" $value) }}
{{- if or $value (kindIs "bool" $value) }}{{ $_ := set $pod $field $value }}{{ end }}
{{- end }}
{{- end }}
{{- with (include "catchup.setting" (merge (dict "field" "extraInitContainers") .) | fromJson).value }}
{{- $_ := set $pod "initContainers" . }}
{{- end }}
{{- $security := (include "catchup.setting" (merge (dict "field" "podSecurityContext") .) | fromJson).value }}
{{- if and .ids (not (.context.Capabilities.APIVersions.Has "security.openshift.io/v1")) }}
{{- $security = merge $security (dict "runAsUser" 999 "runAsGroup" 999 "fsGroup" 999) }}
{{- end }}
{{- with $security }}{{ $_ := set $pod "securityContext" . }}{{ end }}
{{- $secrets := list }}
{{- range concat (.context.Values.global.imagePullSecrets | default list) (.context.Values.imagePullSecrets | default list) }}
{{- $secrets = append $secrets (kindIs "string" . | ternary (dict "name" .) .) }}
{{- end }}
{{- with $secrets | uniq }}{{ $_ := set $pod "imagePullSecrets" . }}{{ end }}
{{- with $pod }}{{ toYaml . }}{{ end }}
{{- end }}

{{/* Image, environment, mounts and security context of a container. Takes a dict: context, settings, image, resources;
env and mounts of its own as YAML. */}}
{{- define "catchup.container" -}}
{{- $container := dict "image" (include "catchup.image" .) "imagePullPolicy" .image.pullPolicy }}
{{- with .resources }}{{ $_ := set $container "resources" . }}{{ end }}
{{- with (include "catchup.setting" (merge (dict "field" "securityContext") .) | fromJson).value }}
{{- $_ := set $container "securityContext" . }}
{{- end }}
{{- $entries := concat (.env | default "[]" | fromYamlArray) ((include "catchup.setting" (merge (dict "field" "extraEnv") .) | fromJson).value | default list) }}
{{- with include "catchup.lastOfEach" (dict "entries" $entries "key" "name") | fromJsonArray }}
{{- $_ := set $container "env" . }}
{{- end }}
{{- $entries = concat (.mounts | default "[]" | fromYamlArray) ((include "catchup.setting" (merge (dict "field" "extraVolumeMounts") .) | fromJson).value | default list) }}
{{- with include "catchup.lastOfEach" (dict "entries" $entries "key" "mountPath") | fromJsonArray }}
{{- $_ := set $container "volumeMounts" . }}
{{- end }}
{{- $container | toYaml }}
{{- end }}

{{/* Takes a dict: context, settings; volumes of its own as YAML. */}}
{{- define "catchup.volumes" -}}
{{- $entries := concat (.volumes | default "[]" | fromYamlArray) ((include "catchup.setting" (merge (dict "field" "extraVolumes") .) | fromJson).value | default list) }}
{{- include "catchup.lastOfEach" (dict "entries" $entries "key" "name") | fromJsonArray | toYaml }}
{{- end }}

{{/* Takes a dict: context, image. */}}
{{- define "catchup.image" -}}
{{- with .context.Values.global.imageRegistry }}{{ . | trimSuffix "/" }}/{{ end }}
{{- .image.repository }}
{{- if .image.digest -}}
@{{ .image.digest }}
{{- else -}}
:{{ .image.tag | default .context.Chart.AppVersion }}
{{- end }}
{{- end }}

{{/* The last of the entries of each key, as JSON: the API server cannot apply a list that names one twice. Takes a dict:
entries, key. */}}
{{- define "catchup.lastOfEach" -}}
{{- $key := .key }}
{{- $keys := list }}
{{- $last := dict }}
{{- range .entries }}
{{- $keys = append $keys (index . $key) | uniq }}
{{- $_ := set $last (index . $key) . }}
{{- end }}
{{- $kept := list }}
{{- range $keys }}{{ $kept = append $kept (get $last .) }}{{ end }}
{{- $kept | toJson }}
{{- end }}

{{/* The certificate by which metrics are served. A whole folder: the kubelet does not renew a file of a subPath. */}}
{{- define "catchup.metricsTlsMount" -}}
{{- if .Values.metrics.tls.existingSecret }}
- {name: metrics-tls, mountPath: /etc/catchup-metrics-tls, readOnly: true}
{{- end }}
{{- end }}
{{- define "catchup.metricsTlsVolume" -}}
name: metrics-tls
secret:
  secretName: {{ .Values.metrics.tls.existingSecret | quote }}
  items:
    - {key: tls.crt, path: tls.crt}
    - {key: tls.key, path: tls.key}
{{- end }}

{{/* A size as text. One that is a number in a file of values would be 1.34217728e+08. */}}
{{- define "catchup.size" -}}
{{- kindIs "string" . | ternary . (int64 .) }}
{{- end }}

{{/* Bytes of a size as Kubernetes writes it (128Mi). Takes a dict: size; redis, for one as Redis does, in lower case (96mb). */}}
{{- define "catchup.bytes" -}}
{{- $size := include "catchup.size" .size }}
{{- $number := regexFind "^[0-9.]+" $size }}
{{- $units := dict "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 "Ei" 1152921504606846976 }}
{{- if .redis }}
{{- $units = dict "k" 1000 "kb" 1024 "m" 1000000 "mb" 1048576 "g" 1000000000 "gb" 1073741824 }}
{{- end }}
{{- mulf (float64 $number) (get $units (trimPrefix $number $size) | default 1) | int64 }}
{{- end }}
