{{/*
Secrets: existing → given by value → looked up in the cluster → generated. All are resolved once a render and remembered
in .Values, so that a generated value is the same in the Secret, in a checksum and in a connection string.
Errors are collected, and kubetune.validate reports them all at once.
*/}}

{{/* kubetune.secrets.specs: the table of our Secrets as YAML: id → part, path (where the values are, for messages),
     existing, replaceable (a new value after a loss harms nothing), fields (key → value given, generate: how). */}}
{{- define "kubetune.secrets.specs" -}}
{{- $v := .Values -}}
{{- if eq $v.airflow.mode "bundled" }}
airflow:
  part: airflow
  path: airflow.secrets
  existing: {{ $v.airflow.secrets.existingSecret | quote }}
  fields:
    fernet_key: {value: {{ $v.airflow.secrets.fernetKey | quote }}, generate: fernet}
    api_secret_key: {value: {{ $v.airflow.secrets.apiSecretKey | quote }}, generate: key}
    jwt_secret: {value: {{ $v.airflow.secrets.jwtSecret | quote }}, generate: key}
admin:
  part: admin
  path: airflow.auth.admin
  existing: {{ $v.airflow.auth.admin.existingSecret | quote }}
  fields:
    username: {value: {{ $v.airflow.auth.admin.username | quote }}}
    password: {value: {{ $v.airflow.auth.admin.password | quote }}, generate: text}
{{- end }}
{{- $t := $v.airflow.auth.trigger }}
{{- if or (eq $v.airflow.mode "bundled") $t.existingSecret $t.password }}
trigger:
  part: trigger
  path: airflow.auth.trigger
  existing: {{ $v.airflow.auth.trigger.existingSecret | quote }}
  replaceable: true
  fields:
    kubetune_airflow_user: {value: {{ $v.airflow.auth.trigger.username | quote }}}
    kubetune_airflow_password: {value: {{ $v.airflow.auth.trigger.password | quote }}, generate: text}
{{- end }}
{{- if or (eq $v.airflow.mode "bundled") (eq $v.database.mode "bundled") }}
database:
  part: database
  path: database
  existing: {{ $v.database.existingSecret | quote }}
  fields:
    password: {value: {{ $v.database.password | quote }}, generate: text}
{{- end }}
{{- if eq $v.objectStore.mode "bundled" }}
object-store-root:
  part: object-store-root
  path: objectStore.bundled.root
  existing: {{ $v.objectStore.bundled.root.existingSecret | quote }}
  fields:
    root_user: {value: {{ $v.objectStore.bundled.root.user | quote }}, generate: name}
    root_password: {value: {{ $v.objectStore.bundled.root.password | quote }}, generate: text}
{{- end }}
{{- range $user := include "kubetune.storeUsers" . | fromJsonArray }}
{{- $given := get $v.objectStore.users $user | default dict }}
store-{{ $user }}:
  part: store-{{ $user }}
  path: objectStore.users.{{ $user }}
  existing: {{ $given.existingSecret | default $v.objectStore.existingSecret | quote }}
  replaceable: {{ eq $v.objectStore.mode "bundled" }}
  fields:
    kubetune_s3_access_key:
      value: {{ $given.accessKey | default (ternary (include "kubetune.name" (dict "root" $ "part" $user)) "" (eq $v.objectStore.mode "bundled")) | quote }}
    kubetune_s3_secret_key: {value: {{ $given.secretKey | default "" | quote }}, generate: {{ ternary "text" "" (eq $v.objectStore.mode "bundled") | quote }}}
{{- end }}
{{- end -}}

{{/* kubetune.secrets.random: a new value. Argument: text (40 letters and digits), name (20), key (64, as long as
     SHA-512 wants one) or fernet. */}}
{{- define "kubetune.secrets.random" -}}
{{- if eq . "fernet" -}}
{{- randBytes 32 | replace "+" "-" | replace "/" "_" -}}
{{- else -}}
{{- randAlphaNum (get (dict "name" 20 "text" 40 "key" 64) . | int) -}}
{{- end -}}
{{- end -}}

{{/* kubetune.secrets.resolve: fills .Values._secrets once: id → {name, existing, data}, and .Values._secretErrors. */}}
{{- define "kubetune.secrets.resolve" -}}
{{- if not (hasKey .Values "_secrets") -}}
{{- $all := dict -}}
{{- $errors := list -}}
{{- $users := list -}}
{{- range $id, $spec := include "kubetune.secrets.specs" . | fromYaml -}}
{{- $name := $spec.existing | default (include "kubetune.name" (dict "root" $ "part" $spec.part)) -}}
{{- $data := dict -}}
{{- if not $spec.existing -}}
{{- $live := lookup "v1" "Secret" $.Release.Namespace $name | default dict -}}
{{- $missing := list -}}
{{- range $key, $field := $spec.fields -}}
{{- $found := get ($live.data | default dict) $key | b64dec -}}
{{- if $field.value -}}
{{- $_ := set $data $key $field.value -}}
{{- else if $found -}}
{{- $_ := set $data $key $found -}}
{{- else if and $field.generate $.Values.secrets.generate (or $.Release.IsInstall $spec.replaceable) -}}
{{- $_ := set $data $key (include "kubetune.secrets.random" $field.generate) -}}
{{- else -}}
{{- $missing = append $missing $key -}}
{{- $_ := set $data $key "" -}}
{{- end -}}
{{- end -}}
{{- if $missing -}}
{{- $why := "" -}}
{{- if and $.Release.IsUpgrade $.Values.secrets.generate -}}
{{- $why = " (this is an upgrade, and a new value would lock out what was stored under the former one; a dry run needs --dry-run=server)" -}}
{{- end -}}
{{- if hasPrefix "store-" $id -}}
{{- $users = append $users (trimPrefix "store-" $id) -}}
{{- else -}}
{{- $errors = append $errors (printf "Secret %s has no value for %s and none was found in the cluster%s: name a Secret with these keys in %s.existingSecret%s." $name (join ", " $missing) $why $spec.path (ternary "" ", or for a trial set secrets.generate=true" $.Values.secrets.generate)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $_ := set $all $id (dict "name" $name "existing" (ne $spec.existing "") "data" $data) -}}
{{- end -}}
{{- if $users -}}
{{- $errors = append $errors (printf "The store's users %s have no keys and none were found in the cluster: name a Secret with kubetune_s3_access_key and kubetune_s3_secret_key in objectStore.users.<user>.existingSecret, or one for all in objectStore.existingSecret%s." (join ", " $users) (ternary "" ", or for a trial with the bundled store set secrets.generate=true" .Values.secrets.generate)) -}}
{{- end -}}
{{- $_ := set .Values "_secrets" $all -}}
{{- $_ := set .Values "_secretErrors" $errors -}}
{{- end -}}
{{- end -}}

{{/* kubetune.secretName: name of one of our Secrets, existing or ours. Arguments: dict "root" $ "id" "store-serve".
     Ids: airflow admin trigger database object-store-root store-<user>. */}}
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
