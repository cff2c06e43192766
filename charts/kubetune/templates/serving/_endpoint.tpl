{{/*
An endpoint is what serving.defaults says, with what its own entry says over it.
*/}}

{{/* kubetune.overlay: JSON of one map laid over another, key by key and all the way down; unlike mergeOverwrite it keeps
     `false`, 0 and empty lists of the upper one. A null takes the key away.
     Arguments: dict "base" <map> "over" <map or null>. */}}
{{- define "kubetune.overlay" -}}
{{- $result := deepCopy .base -}}
{{- range $key, $value := .over | default dict -}}
{{- $below := get $result $key -}}
{{- if kindIs "invalid" $value -}}
{{- $_ := unset $result $key -}}
{{- else if and (kindIs "map" $value) (kindIs "map" $below) -}}
{{- $_ := set $result $key (include "kubetune.overlay" (dict "base" $below "over" $value) | fromJson) -}}
{{- else -}}
{{- $_ := set $result $key $value -}}
{{- end -}}
{{- end -}}
{{- $result | toJson -}}
{{- end -}}

{{/* kubetune.endpoints: JSON of all endpoints by name, defaults filled in. Argument: $. */}}
{{- define "kubetune.endpoints" -}}
{{- $result := dict -}}
{{- $root := . -}}
{{- range $name, $given := .Values.serving.endpoints -}}
{{- $endpoint := include "kubetune.overlay" (dict "base" $root.Values.serving.defaults "over" $given) | fromJson -}}
{{- $_ := set $result $name $endpoint -}}
{{- end -}}
{{- $result | toJson -}}
{{- end -}}

{{/* kubetune.endpoint.name: F-serve-<endpoint>. `deploy` finds it by this name, so it is never cut (a rule refuses long
     ones). Arguments: dict "root" $ "endpoint" <name>. */}}
{{- define "kubetune.endpoint.name" -}}
{{ include "kubetune.fullname" .root }}-serve-{{ .endpoint }}
{{- end -}}

{{/* kubetune.endpoint.keysSecret: Secret with the hashes of the endpoint's keys, or nothing where it asks for none.
     Arguments: dict "root" $ "endpoint" <name> "values" <the endpoint>. */}}
{{- define "kubetune.endpoint.keysSecret" -}}
{{- if .values.apiKeys.existingSecret -}}
{{ .values.apiKeys.existingSecret }}
{{- else if .values.apiKeys.hashes -}}
{{ include "kubetune.fullname" .root }}-endpoint-keys-{{ .endpoint }}
{{- end -}}
{{- end -}}

{{/* kubetune.endpoint.selector: labels of its pods. Arguments: dict "root" $ "endpoint" <name>. */}}
{{- define "kubetune.endpoint.selector" -}}
{{ include "kubetune.selectorLabels" (dict "root" .root "component" "serving") }}
kubetune.io/endpoint: {{ .endpoint }}
{{- end -}}

{{/* kubetune.endpoint.environment: the `env` block of both containers.
     Arguments: dict "root" $ "values" <the endpoint> "plain" <map of further variables>. */}}
{{- define "kubetune.endpoint.environment" -}}
{{- $plain := dict
      "HOME" "/tmp"
      "KUBETUNE_STORE" (include "kubetune.storeUrl" .root)
      "KUBETUNE_S3_ENDPOINT" (include "kubetune.storeEndpoint" .root)
      "KUBETUNE_S3_REGION" .root.Values.objectStore.region
      "KUBETUNE_OFFLINE" "true" -}}
{{- if .root.Values.global.caConfigMap -}}
{{- $_ := set $plain "KUBETUNE_CA_BUNDLE" "/etc/kubetune/ca/ca.crt" -}}
{{- end -}}
{{- if .root.Values.signing.trustedSecret -}}
{{- $_ := set $plain "KUBETUNE_TRUSTED_KEYS" "/etc/kubetune/trusted-keys" -}}
{{- with int .root.Values.signing.revocationEpoch }}{{ $_ := set $plain "KUBETUNE_REVOCATION_EPOCH" . }}{{ end -}}
{{- end -}}
{{- /* Written by `deploy` alone: a field that the chart rendered would be reset by the next upgrade. */ -}}
{{- $archive := dict "name" "KUBETUNE_ARCHIVE" "valueFrom" (dict "fieldRef" (dict "fieldPath" "metadata.annotations['kubetune.io/archive']")) -}}
{{- $entries := concat (list $archive) .values.extraEnv -}}
{{ include "kubetune.container.env" (dict "plain" (merge $plain .plain) "entries" $entries) }}
{{- end -}}
