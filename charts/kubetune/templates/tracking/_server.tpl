{{/*
Parts of the server's pod. Argument of all: the root context ($).
*/}}

{{/* kubetune.tracking.serverEnv: the `env` block of the server and of what prepares it. */}}
{{- define "kubetune.tracking.serverEnv" -}}
{{- $plain := include "kubetune.tracking.quiet" . | fromYaml -}}
{{- $_ := set $plain "MLFLOW_AUTH_CONFIG_PATH" "/run/kubetune/tracking/auth.ini" -}}
{{- $_ := set $plain "MLFLOW_S3_ENDPOINT_URL" (include "kubetune.storeEndpoint" .) -}}
{{- $_ := set $plain "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE" "path" -}}
{{- $_ := set $plain "AWS_DEFAULT_REGION" .Values.objectStore.region -}}
{{- $_ := set $plain "AWS_EC2_METADATA_DISABLED" "true" -}}
{{- $_ := set $plain "TRACKING_ADMIN" .Values.tracking.auth.admin.username -}}
{{- if .Values.global.caConfigMap }}{{ $_ := set $plain "AWS_CA_BUNDLE" "/etc/kubetune/ca/ca.crt" }}{{ end -}}
{{- include "kubetune.container.env" (dict "plain" $plain "entries" .Values.tracking.server.extraEnv) -}}
{{- end -}}

{{/* kubetune.tracking.serverMounts: entries of `volumeMounts` that both containers have. */}}
{{- define "kubetune.tracking.serverMounts" -}}
{{ include "kubetune.container.tmpMount" (dict) }}
- {name: run, mountPath: /run/kubetune/tracking}
{{ include "kubetune.tracking.scriptsMount" . }}
{{- with include "kubetune.endpoint.caMount" . }}
{{ . }}
{{- end }}
{{- end -}}

{{/* kubetune.tracking.serverVolumes: entries of `volumes`. Only what prepares sees the administrator's password. */}}
{{- define "kubetune.tracking.serverVolumes" -}}
{{ include "kubetune.pod.tmpVolume" (dict "size" .Values.tracking.server.tmpSize) }}
- name: run
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
{{ include "kubetune.tracking.scriptsVolume" . }}
- name: prepare-secrets
  projected:
    defaultMode: 0440
    sources:
      {{- include "kubetune.tracking.source" (dict "root" . "id" "tracking-database" "keys" (list "connection")) | nindent 6 }}
      {{- include "kubetune.tracking.source" (dict "root" . "id" "tracking-admin" "keys" (list "password")) | nindent 6 }}
      {{- include "kubetune.tracking.source" (dict "root" . "id" "tracking-mirror" "keys" (list "kubetune_tracking_user" "kubetune_tracking_password")) | nindent 6 }}
- name: tracking-secrets
  projected:
    defaultMode: 0440
    sources:
      {{- include "kubetune.tracking.source" (dict "root" . "id" "tracking-database" "keys" (list "connection")) | nindent 6 }}
      {{- include "kubetune.tracking.source" (dict "root" . "id" "tracking" "keys" (list "flask_secret_key")) | nindent 6 }}
      {{- include "kubetune.tracking.source" (dict "root" . "id" "store-tracking" "keys" (list "kubetune_s3_access_key" "kubetune_s3_secret_key")) | nindent 6 }}
{{ include "kubetune.secretVolume" (dict "root" . "ids" (list "tracking-mirror")) }}
{{- with include "kubetune.tracking.caVolume" . }}
{{ . }}
{{- end }}
{{- with .Values.tracking.server.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* kubetune.tracking.source: one source of a projected volume. Arguments: dict "root" $ "id" <Secret> "keys" <list>. */}}
{{- define "kubetune.tracking.source" -}}
- secret:
    name: {{ include "kubetune.secretName" (dict "root" .root "id" .id) }}
    items:
      {{- range .keys }}
      - {key: {{ . }}, path: {{ . }}}
      {{- end }}
{{- end -}}
