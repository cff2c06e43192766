{{/*
Secrets as objects, volumes and checksums; _secrets.tpl says where their values come from.
*/}}

{{/* kubetune.secretName: name of one of our Secrets, existing or ours. Arguments: dict "root" $ "id" "store-serve".
     Ids: airflow admin trigger database object-store-root store-<user> tracking tracking-admin tracking-mirror
     tracking-database. */}}
{{- define "kubetune.secretName" -}}
{{- include "kubetune.secrets.resolve" .root -}}
{{- (get .root.Values._secrets .id).name -}}
{{- end -}}

{{/* kubetune.secretChecksum: one annotation line for the consumers of Secrets; an existing Secret counts by its name.
     Arguments: dict "root" $ "ids" (list "airflow" "database"). */}}
{{- define "kubetune.secretChecksum" -}}
{{- include "kubetune.secrets.resolve" .root -}}
{{- $of := dict -}}
{{- range .ids }}{{ $_ := set $of . (get $.root.Values._secrets .) }}{{ end -}}
{{- include "kubetune.checksum" (dict "root" .root "name" "secrets" "of" ($of | toJson)) -}}
{{- end -}}

{{/* kubetune.secret: a Secret object, or nothing where it exists already. `keep`: an uninstall must not lose a value that
     data was stored under. Arguments: dict "root" $ "id" "airflow" "component" "airflow"
     "namespace" (optional) "extra" <map of further keys; optional>. */}}
{{- define "kubetune.secret" -}}
{{- include "kubetune.secrets.resolve" .root -}}
{{- $secret := get .root.Values._secrets .id -}}
{{- if not $secret.existing -}}
apiVersion: v1
kind: Secret
metadata:
  name: {{ $secret.name }}
  namespace: {{ .namespace | default .root.Release.Namespace }}
  labels:
    {{- include "kubetune.labels" . | nindent 4 }}
    {{- with .root.Values.secrets.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    helm.sh/resource-policy: keep
    {{- with .root.Values.secrets.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
type: Opaque
data:
  {{- range $key, $value := merge (dict) $secret.data (.extra | default dict) }}
  {{ $key }}: {{ $value | b64enc }}
  {{- end }}
{{- end -}}
{{- end -}}

{{/* kubetune.secretVolume: one entry of `volumes` named `secrets`: the store user's keys (and further Secrets) as settings
     files; mount it with kubetune.secretMount at /run/secrets/kubetune.
     Arguments: dict "root" $ "ids" (list "store-serve") "names" <list of further Secrets; optional>. */}}
{{- define "kubetune.secretVolume" -}}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range .ids }}
      - secret:
          name: {{ include "kubetune.secretName" (dict "root" $.root "id" .) }}
      {{- end }}
      {{- range .names }}
      - secret:
          name: {{ . }}
      {{- end }}
{{- end -}}

{{/* kubetune.secretMount: one entry of `volumeMounts` for it. */}}
{{- define "kubetune.secretMount" -}}
- name: secrets
  mountPath: /run/secrets/kubetune
  readOnly: true
{{- end -}}
