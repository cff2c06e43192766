{{/*
Parts of an endpoint's pod. Arguments, unless a comment says otherwise: dict "root" $ "endpoint" <name> "values" <the endpoint>.
*/}}

{{/* kubetune.endpoint.placement: its placement values; without a spread of its own, replicas go to different nodes where
     they can, and with GPUs those of `gpu` count too. */}}
{{- define "kubetune.endpoint.placement" -}}
{{- $placement := pick .values "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" | deepCopy -}}
{{- if not $placement.topologySpreadConstraints -}}
{{- $selector := include "kubetune.endpoint.selector" . | fromYaml -}}
{{- $spread := dict "maxSkew" 1 "topologyKey" "kubernetes.io/hostname" "whenUnsatisfiable" "ScheduleAnyway" "labelSelector" (dict "matchLabels" $selector) -}}
{{- $_ := set $placement "topologySpreadConstraints" (list $spread) -}}
{{- end -}}
{{- if int .values.gpus -}}
{{- $gpu := .root.Values.gpu -}}
{{- $_ := set $placement "nodeSelector" (merge (deepCopy $placement.nodeSelector) $gpu.nodeSelector) -}}
{{- $_ := set $placement "tolerations" (concat $placement.tolerations $gpu.tolerations) -}}
{{- end -}}
{{- toYaml $placement -}}
{{- end -}}

{{/* kubetune.endpoint.resources: requests and limits; GPUs are both, since Kubernetes knows no other way. */}}
{{- define "kubetune.endpoint.resources" -}}
{{- $resources := deepCopy .values.resources -}}
{{- if int .values.gpus -}}
{{- $count := .values.gpus | int | toString -}}
{{- range $part := list "requests" "limits" -}}
{{- $_ := set $resources $part (set (get $resources $part | default dict) $.root.Values.gpu.resource $count) -}}
{{- end -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{/* kubetune.endpoint.shutdown: seconds that the gateway has between SIGTERM and its end: the grace period counts the
     sleep before, and 5 are left over for the runtime. Argument: the endpoint. */}}
{{- define "kubetune.endpoint.shutdown" -}}
{{ sub (int .terminationGracePeriodSeconds) (add (int .preStopSleepSeconds) 5) }}
{{- end -}}

{{/* kubetune.endpoint.probes: the three probes, all on the gateway, since the kubelet cannot reach loopback.
     Argument: the endpoint's `probes`. */}}
{{- define "kubetune.endpoint.probes" -}}
# Up to the time that loading and the golden vectors of the largest model may take.
startupProbe:
  httpGet: {path: /readyz, port: probes}
  {{- toYaml .startup | nindent 2 }}
readinessProbe:
  httpGet: {path: /readyz, port: probes}
  {{- toYaml .readiness | nindent 2 }}
livenessProbe:
  httpGet: {path: /healthz, port: probes}
  {{- toYaml .liveness | nindent 2 }}
{{- end -}}

{{/* kubetune.endpoint.volumes: entries of `volumes`. Further argument: "keys" <name of the keys' Secret or empty>. */}}
{{- define "kubetune.endpoint.volumes" -}}
- name: archive
  emptyDir:
    sizeLimit: {{ .values.archiveSize }}
{{ include "kubetune.pod.tmpVolume" (dict "size" .values.tmpSize) }}
- name: shared-memory
  emptyDir:
    medium: Memory
    sizeLimit: {{ .values.sharedMemory }}
{{ include "kubetune.secretVolume" (dict "root" .root "ids" (list "store-serve")) }}
{{- if .keys }}
- name: api-keys
  secret:
    secretName: {{ .keys }}
    defaultMode: 0440
{{- end }}
{{- with .root.Values.global.caConfigMap }}
- name: ca
  configMap:
    name: {{ . }}
{{- end }}
{{- with .root.Values.signing.trustedSecret }}
- name: trusted-keys
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* kubetune.endpoint.trustMount: entry of `volumeMounts` for the public keys that archives are checked with, or nothing.
     Argument: $. */}}
{{- define "kubetune.endpoint.trustMount" -}}
{{- if .Values.signing.trustedSecret -}}
- name: trusted-keys
  mountPath: /etc/kubetune/trusted-keys
  readOnly: true
{{- end -}}
{{- end -}}

{{/* kubetune.endpoint.caMount: entry of `volumeMounts` for a private certificate authority, or nothing. Argument: $. */}}
{{- define "kubetune.endpoint.caMount" -}}
{{- if .Values.global.caConfigMap -}}
- name: ca
  mountPath: /etc/kubetune/ca
  readOnly: true
{{- end -}}
{{- end -}}
