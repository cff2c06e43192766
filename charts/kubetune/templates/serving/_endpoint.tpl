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

{{/* kubetune.endpoint.name: F-serve-<endpoint>. `deploy` finds it by this name, so it is never cut.
     Arguments: dict "root" $ "endpoint" <name>. */}}
{{- define "kubetune.endpoint.name" -}}
{{- $name := printf "%s-serve-%s" (include "kubetune.fullname" .root) .endpoint -}}
{{- if gt (len $name) 63 -}}
{{- fail (printf "serving.endpoints.%s: the name %s is longer than the 63 characters of a Service; shorten the endpoint's name or the release's." .endpoint $name) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{/* kubetune.endpoint.keysSecret: Secret with the endpoint's key hashes, or nothing where it takes no keys.
     Arguments: dict "root" $ "endpoint" <name> "values" <the endpoint>. */}}
{{- define "kubetune.endpoint.keysSecret" -}}
{{- if .values.apiKeys.existingSecret -}}
{{ .values.apiKeys.existingSecret }}
{{- else if .values.apiKeys.hashes -}}
{{ printf "%s-endpoint-keys-%s" (include "kubetune.fullname" .root) .endpoint }}
{{- else if .root.Values.serving.requireApiKeys -}}
{{- fail (printf "serving.endpoints.%s has no API keys and serving.requireApiKeys is true: give apiKeys.hashes (name: SHA-256 in hex of the key) or apiKeys.existingSecret (key `keys`, lines name:sha256hex)." .endpoint) -}}
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
{{- /* Written by `deploy` alone: a field that the chart rendered would be reset by the next upgrade. */ -}}
{{- $archive := dict "name" "KUBETUNE_ARCHIVE" "valueFrom" (dict "fieldRef" (dict "fieldPath" "metadata.annotations['kubetune.io/archive']")) -}}
{{- $entries := concat (list $archive) .values.extraEnv -}}
{{ include "kubetune.container.env" (dict "plain" (merge $plain .plain) "entries" $entries) }}
{{- end -}}
