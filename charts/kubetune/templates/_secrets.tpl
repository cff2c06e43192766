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
{{- include "kubetune.tracking.specs" . }}
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
