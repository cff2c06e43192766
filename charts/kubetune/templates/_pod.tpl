{{/*
What every pod and every container of the chart shares: Pod Security `restricted`, tokens off, extension points.
All containers, inits and sidecars included, take kubetune.container.security; a test looks at each.
*/}}

{{/* kubetune.pod.security: the pod's securityContext block.
     Arguments: dict "uid" 10001 (optional; user, group and volume group). */}}
{{- define "kubetune.pod.security" -}}
{{- $uid := .uid | default 10001 | int -}}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ $uid }}
  runAsGroup: {{ $uid }}
  fsGroup: {{ $uid }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{/* kubetune.container.security: the container's securityContext block. No arguments (pass $). */}}
{{- define "kubetune.container.security" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities:
    drop: [ALL]
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{/* kubetune.pod.common: the head of a pod spec: account, token, links, pull secrets, security, placement.
     Arguments: dict "root" $ "account" "scheduler" (part of the account's name) "token" true|false (default false)
     "uid" 10001 (optional) "values" <the component's values: nodeSelector tolerations affinity
     topologySpreadConstraints priorityClassName; each optional> "component" <its name, where replicas are to go to
     different nodes if they can; optional>. */}}
{{- define "kubetune.pod.common" -}}
serviceAccountName: {{ include "kubetune.serviceAccountName" (dict "root" .root "part" .account) }}
automountServiceAccountToken: {{ .token | default false }}
enableServiceLinks: false
{{ include "kubetune.pod.security" (dict "uid" .uid) }}
{{- with include "kubetune.pullSecrets" .root }}
{{ . }}
{{- end }}
{{- include "kubetune.pod.placement" . }}
{{- end -}}

{{/* kubetune.pod.placement: nodeSelector, tolerations, affinity, spread and priority; the component's values win over
     global's. Arguments: as kubetune.pod.common. */}}
{{- define "kubetune.pod.placement" -}}
{{- $values := .values | default dict -}}
{{- $global := .root.Values.global -}}
{{- $spread := list -}}
{{- if and .component (gt (int $values.replicas) 1) -}}
{{- $selector := include "kubetune.selectorLabels" (dict "root" .root "component" .component) | fromYaml -}}
{{- $spread = list (dict "maxSkew" 1 "topologyKey" "kubernetes.io/hostname" "whenUnsatisfiable" "ScheduleAnyway" "labelSelector" (dict "matchLabels" $selector)) -}}
{{- end -}}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" }}
{{- with get $values $key | default (get $global $key) | default (ternary $spread list (eq $key "topologySpreadConstraints")) }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* kubetune.pod.tmpVolume: one entry of `volumes`: an emptyDir named `tmp`.
     Arguments: dict "size" "256Mi" (optional). */}}
{{- define "kubetune.pod.tmpVolume" -}}
- name: tmp
  emptyDir:
    sizeLimit: {{ .size | default "256Mi" }}
{{- end -}}

{{/* kubetune.container.tmpMount: one entry of `volumeMounts` for it. */}}
{{- define "kubetune.container.tmpMount" -}}
- name: tmp
  mountPath: /tmp
{{- end -}}

{{/* kubetune.extra.containers: entries of `containers` or `initContainers` from the values; one without a
     securityContext gets ours, so that a sidecar is admitted under `restricted`.
     Argument: list of containers (extraContainers, extraInitContainers). */}}
{{- define "kubetune.extra.containers" -}}
{{- $security := include "kubetune.container.security" dict | fromYaml -}}
{{- range . }}
- {{ merge (deepCopy .) $security | toYaml | nindent 2 | trim }}
{{- end }}
{{- end -}}

{{/* kubetune.container.env: the `env` block of a container: a map of plain values, then entries in which a later one of
     the same name wins, so that no name occurs twice (Helm 4's server-side apply refuses that). Sorted by name.
     Arguments: dict "plain" <map name → value> "entries" <list of env entries: ours, then extraEnv; optional>. */}}
{{- define "kubetune.container.env" -}}
{{- $byName := dict -}}
{{- range $name, $value := .plain }}{{- $_ := set $byName $name (dict "name" $name "value" (toString $value)) -}}{{- end -}}
{{- range .entries }}{{- $_ := set $byName .name . -}}{{- end -}}
{{- if $byName -}}
env:
{{- range $name := keys $byName | sortAlpha }}
  - {{ get $byName $name | toYaml | nindent 4 | trim }}
{{- end }}
{{- end -}}
{{- end -}}
