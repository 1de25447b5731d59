{{/* Parts of the expressions of admission-policy.yaml, made of what the jobs' template holds. JSON is CEL, too. */}}

{{/* The variables `e` of a container: the operator's own, whose values vary, and those of the values as they are. Takes a
dict: env, own. */}}
{{- define "catchup.celEnv" -}}
{{- $literals := list }}
{{- $secrets := list }}
{{- $configMaps := list }}
{{- $fields := list }}
{{- range .env }}
{{- $source := .valueFrom | default dict }}
{{- if hasKey $source "secretKeyRef" }}
{{- $secrets = append $secrets (list .name ($source.secretKeyRef.name | default "") $source.secretKeyRef.key) }}
{{- else if hasKey $source "configMapKeyRef" }}
{{- $configMaps = append $configMaps (list .name ($source.configMapKeyRef.name | default "") $source.configMapKeyRef.key) }}
{{- else if hasKey $source "fieldRef" }}
{{- $fields = append $fields (list .name $source.fieldRef.fieldPath) }}
{{- else if hasKey $source "resourceFieldRef" }}
{{- $fields = append $fields (list .name $source.resourceFieldRef.resource) }}
{{- else if $source }}
{{- fail (printf "admissionPolicy.enabled: it does not know the source of the variable %s (%s)" .name (keys $source | sortAlpha | join ", ")) }}
{{- else }}
{{- $literals = append $literals (list .name (.value | default "")) }}
{{- end }}
{{- end }}
((!has(e.valueFrom) || has(e.valueFrom.fieldRef)) && e.name in {{ .own | toJson }})
|| (!has(e.valueFrom) && [e.name, e.?value.orValue('')] in {{ $literals | toJson }})
|| (has(e.valueFrom) && has(e.valueFrom.secretKeyRef)
&& [e.name, e.valueFrom.secretKeyRef.?name.orValue(''), e.valueFrom.secretKeyRef.key] in {{ $secrets | toJson }})
|| (has(e.valueFrom) && has(e.valueFrom.configMapKeyRef)
&& [e.name, e.valueFrom.configMapKeyRef.?name.orValue(''), e.valueFrom.configMapKeyRef.key] in {{ $configMaps | toJson }})
|| (has(e.valueFrom) && has(e.valueFrom.fieldRef) && [e.name, e.valueFrom.fieldRef.fieldPath] in {{ $fields | toJson }})
|| (has(e.valueFrom) && has(e.valueFrom.resourceFieldRef) && [e.name, e.valueFrom.resourceFieldRef.resource] in {{ $fields | toJson }})
{{- end }}

{{/* What runs in a container `c`. Takes a dict: container, args, the expression about its arguments, env, mounts, own. */}}
{{- define "catchup.celContainer" -}}
{{- $c := .container }}
{{- $from := list }}
{{- range $c.envFrom }}
{{- $from = append $from (list (.prefix | default "") ((.secretRef | default dict).name | default "") ((.configMapRef | default dict).name | default "")) }}
{{- end }}
{{- $mounts := list }}
{{- range .mounts }}
{{- $mounts = append $mounts (list .name .mountPath (.subPath | default "") (.subPathExpr | default "")) }}
{{- end }}
c.name == {{ $c.name | toJson }} && c.image == {{ $c.image | toJson }}
&& c.?command.orValue([]) == {{ $c.command | default list | toJson }} && {{ .args }}
{{- if hasKey $c "lifecycle" }}
{{- range $hook := list "postStart" "preStop" }}
&& c.?lifecycle.{{ $hook }}.exec.command.orValue([]) == {{ dig "lifecycle" $hook "exec" "command" list $c | toJson }}
{{- end }}
{{- else }}
&& !has(c.lifecycle)
{{- end }}
{{- range $probe := list "startupProbe" "readinessProbe" "livenessProbe" }}
{{- if hasKey $c $probe }}
&& c.?{{ $probe }}.exec.command.orValue([]) == {{ dig $probe "exec" "command" list $c | toJson }}
{{- else }}
&& !has(c.{{ $probe }})
{{- end }}
{{- end }}
&& c.?volumeDevices.orValue([]).size() == 0
&& c.?volumeMounts.orValue([]).all(m, [m.name, m.mountPath, m.?subPath.orValue(''), m.?subPathExpr.orValue('')] in {{ $mounts | toJson }})
&& c.?envFrom.orValue([]).all(f, [f.?prefix.orValue(''), f.?secretRef.name.orValue(''), f.?configMapRef.name.orValue('')] in {{ $from | toJson }})
&& c.?env.orValue([]).all(e, {{ include "catchup.celEnv" (dict "env" .env "own" .own) }})
{{- end }}

{{/* What a container `c` may do on its node: no more than its security context in the values says. Takes that. */}}
{{- define "catchup.celSecurity" -}}
{{- $privileged := .privileged | default false }}
{{- if not $privileged }}
!c.?securityContext.privileged.orValue(false) &&
{{- end }}
{{- if eq (toString .allowPrivilegeEscalation) "false" }}
!c.?securityContext.allowPrivilegeEscalation.orValue(true) &&
{{- end }}
{{- if .readOnlyRootFilesystem }}
c.?securityContext.readOnlyRootFilesystem.orValue(false) &&
{{- end }}
c.?securityContext.runAsUser.orValue(-1) == {{ hasKey . "runAsUser" | ternary (.runAsUser | int64) -1 }}
&& c.?securityContext.procMount.orValue('Default') == {{ .procMount | default "Default" | toJson }}
&& c.?securityContext.seccompProfile.type.orValue('') == {{ (.seccompProfile | default dict).type | default "" | toJson }}
&& c.?securityContext.appArmorProfile.type.orValue('') == {{ (.appArmorProfile | default dict).type | default "" | toJson }}
&& c.?securityContext.capabilities.add.orValue([]).all(x, x in {{ (.capabilities | default dict).add | default list | toJson }})
{{- end }}

{{/* A volume `v`. */}}
{{- define "catchup.celVolume" -}}
v.name == {{ .name | toJson }} &&
{{- if hasKey . "configMap" }} has(v.configMap) && v.configMap.?name.orValue('') == {{ .configMap.name | default "" | toJson }}
{{- else if hasKey . "secret" }} has(v.secret) && v.secret.?secretName.orValue('') == {{ .secret.secretName | default "" | toJson }}
{{- else if hasKey . "emptyDir" }} has(v.emptyDir)
{{- else if hasKey . "downwardAPI" }} has(v.downwardAPI)
{{- else if hasKey . "persistentVolumeClaim" }} has(v.persistentVolumeClaim) && v.persistentVolumeClaim.claimName == {{ .persistentVolumeClaim.claimName | toJson }}
{{- else if hasKey . "hostPath" }} has(v.hostPath) && v.hostPath.path == {{ .hostPath.path | toJson }}
{{- else if hasKey . "csi" }} has(v.csi) && v.csi.driver == {{ .csi.driver | toJson }}
&& v.csi.?volumeAttributes.orValue({}) == {{ .csi.volumeAttributes | default dict | toJson }}
&& v.csi.?nodePublishSecretRef.name.orValue('') == {{ (.csi.nodePublishSecretRef | default dict).name | default "" | toJson }}
{{- else if hasKey . "projected" }}
{{- $configMaps := list }}
{{- $secrets := list }}
{{- $audiences := list }}
{{- $bundles := list }}
{{- range .projected.sources }}
{{- if hasKey . "configMap" }}{{ $configMaps = append $configMaps (.configMap.name | default "") }}
{{- else if hasKey . "secret" }}{{ $secrets = append $secrets (.secret.name | default "") }}
{{- else if hasKey . "serviceAccountToken" }}{{ $audiences = append $audiences (.serviceAccountToken.audience | default "") }}
{{- else if hasKey . "clusterTrustBundle" }}{{ $bundles = append $bundles (.clusterTrustBundle.name | default "") }}
{{- else if not (hasKey . "downwardAPI") }}
{{- fail (printf "admissionPolicy.enabled: it does not know a source of the projected volume of the jobs (%s)" (keys . | sortAlpha | join ", ")) }}
{{- end }}
{{- end }} has(v.projected) && v.projected.?sources.orValue([]).all(s, has(s.downwardAPI)
|| (has(s.configMap) && s.configMap.?name.orValue('') in {{ $configMaps | toJson }})
|| (has(s.secret) && s.secret.?name.orValue('') in {{ $secrets | toJson }})
|| (has(s.serviceAccountToken) && s.serviceAccountToken.?audience.orValue('') in {{ $audiences | toJson }})
|| (has(s.clusterTrustBundle) && s.clusterTrustBundle.?name.orValue('') in {{ $bundles | toJson }}))
{{- else }}
{{- fail (printf "admissionPolicy.enabled: it does not know the kind of the volume %s of the jobs (%s)" .name (keys (omit . "name") | sortAlpha | join ", ")) }}
{{- end }}
{{- end }}
