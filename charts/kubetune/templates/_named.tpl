{{/*
Secrets and ConfigMaps that the values name and that somebody else makes. A certificate of an ingress is not among them:
what makes it often waits for the ingress.
*/}}

{{/* kubetune.named: JSON list of kind, name, namespace, keys, path (of the values) and url (key that holds a database's
     URL; optional). Argument: $. */}}
{{- define "kubetune.named" -}}
{{- $v := .Values -}}
{{- $own := .Release.Namespace -}}
{{- $pipelines := include "kubetune.pipelineNamespaces" . | fromJsonArray -}}
{{- $found := include "kubetune.named.ours" . | fromJsonArray -}}
{{- $both := concat (list $own) $pipelines | uniq -}}
{{- range $namespace := $both -}}
{{- range $v.global.pullSecrets }}{{ $found = append $found (dict "kind" "Secret" "name" . "namespace" $namespace "keys" list "path" "global.pullSecrets") }}{{ end -}}
{{- with $v.global.caConfigMap }}{{ $found = append $found (dict "kind" "ConfigMap" "name" . "namespace" $namespace "keys" (list "ca.crt") "path" "global.caConfigMap") }}{{ end -}}
{{- end -}}
{{- range $namespace := $pipelines -}}
{{- range $stage, $names := $v.pipelines.secrets -}}
{{- range $names }}{{ $found = append $found (dict "kind" "Secret" "name" . "namespace" $namespace "keys" list "path" (printf "pipelines.secrets.%s" $stage)) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- with $v.signing.existingSecret }}{{ $found = append $found (dict "kind" "Secret" "name" . "namespace" (first $pipelines) "keys" (list "signing.key") "path" "signing.existingSecret") }}{{ end -}}
{{- with $v.recipes.existingConfigMap }}{{ $found = append $found (dict "kind" "ConfigMap" "name" . "namespace" $own "keys" list "path" "recipes.existingConfigMap") }}{{ end -}}
{{- if eq $v.objectStore.mode "bundled" -}}
{{- with $v.objectStore.bundled.tls.existingSecret }}{{ $found = append $found (dict "kind" "Secret" "name" . "namespace" $own "keys" (list "tls.crt" "tls.key") "path" "objectStore.bundled.tls.existingSecret") }}{{ end -}}
{{- end -}}
{{- if $v.serving.endpoints -}}
{{- with $v.signing.trustedSecret }}{{ $found = append $found (dict "kind" "Secret" "name" . "namespace" $own "keys" list "path" "signing.trustedSecret") }}{{ end -}}
{{- if $v.tests.enabled }}{{ with $v.tests.apiKeySecret }}{{ $found = append $found (dict "kind" "Secret" "name" . "namespace" $own "keys" (list "kubetune_api_key") "path" "tests.apiKeySecret") }}{{ end }}{{ end -}}
{{- end -}}
{{- $endpoints := include "kubetune.endpoints" . | fromJson -}}
{{- range $name, $endpoint := $endpoints -}}
{{- with $endpoint.apiKeys.existingSecret }}{{ $found = append $found (dict "kind" "Secret" "name" . "namespace" $own "keys" (list "keys") "path" (printf "serving.endpoints.%s.apiKeys.existingSecret" $name)) }}{{ end -}}
{{- end -}}
{{- $extras := dict "serving.endpoints" $endpoints "tracking" $v.tracking "database" $v.database "objectStore" $v.objectStore "airflow" $v.airflow -}}
{{- range $path, $node := $extras -}}
{{- range include "kubetune.named.extras" (dict "path" $path "node" $node) | splitList "\n" -}}
{{- with trim . }}{{ $found = append $found (merge (dict "namespace" $own) (fromJson .)) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- $found | toJson -}}
{{- end -}}

{{/* kubetune.named.ours: JSON list of the same for the chart's own table of Secrets, where one is named instead: in the
     namespaces whose pods mount it. Argument: $. */}}
{{- define "kubetune.named.ours" -}}
{{- include "kubetune.secrets.resolve" . -}}
{{- $own := list .Release.Namespace -}}
{{- $pipelines := include "kubetune.pipelineNamespaces" . | fromJsonArray -}}
{{- $bundled := eq .Values.objectStore.mode "bundled" -}}
{{- $found := list -}}
{{- range $id, $spec := include "kubetune.secrets.specs" . | fromYaml -}}
{{- if $spec.existing -}}
{{- $user := trimPrefix "store-" $id -}}
{{- $keys := keys $spec.fields | sortAlpha -}}
{{- $url := "" -}}
{{- $namespaces := $own -}}
{{- if eq $id "database" }}{{ $url = "connection" }}{{ $keys = ternary (list "connection" "password") (list "connection") (eq $.Values.database.mode "bundled") }}{{ end -}}
{{- if eq $id "tracking-database" }}{{ $url = "connection" }}{{ $keys = list "connection" }}{{ end -}}
{{- if eq $id "tracking-admin" }}{{ $keys = list "password" }}{{ end -}}
{{- if hasPrefix "store-" $id -}}
{{- /* The bootstrap Job mounts them all; people's own is mounted nowhere else. */ -}}
{{- $stage := has $user (include "kubetune.pipelineUsers" $ | fromJsonArray) -}}
{{- $idle := or (eq $user "client") (and (eq $user "serve") (not $.Values.serving.endpoints)) -}}
{{- $namespaces = ternary $own list (or $bundled (not (or $stage $idle))) -}}
{{- if $stage }}{{ $namespaces = concat $namespaces $pipelines | uniq }}{{ end -}}
{{- end -}}
{{- range $namespaces }}{{ $found = append $found (dict "kind" "Secret" "name" $spec.existing "namespace" . "keys" $keys "path" (printf "%s.existingSecret" $spec.path) "url" $url) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- $found | toJson -}}
{{- end -}}

{{/* kubetune.named.extras: a line of JSON for each Secret and ConfigMap in extraEnv, extraEnvFrom and extraVolumes that is
     not optional. Arguments: dict "path" <prefix> "node" <any value>. */}}
{{- define "kubetune.named.extras" -}}
{{- $path := .path -}}
{{- if kindIs "map" .node -}}
{{- range $key, $value := .node -}}
{{- if has $key (list "extraEnv" "extraEnvFrom" "extraVolumes") -}}
{{- include "kubetune.named.references" (dict "path" (printf "%s.%s" $path $key) "node" $value) }}
{{- else if or (kindIs "map" $value) (has $key (list "extraContainers" "extraInitContainers")) -}}
{{- include "kubetune.named.extras" (dict "path" (printf "%s.%s" $path $key) "node" $value) }}
{{- end -}}
{{- end -}}
{{- else if kindIs "slice" .node -}}
{{- range .node -}}
{{- if kindIs "map" . -}}
{{- include "kubetune.named.references" (dict "path" $path "node" (list (get . "env") (get . "envFrom"))) }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* kubetune.named.references: the same for any part of a pod. Arguments: as kubetune.named.extras. */}}
{{- define "kubetune.named.references" -}}
{{- $path := .path -}}
{{- if kindIs "map" .node -}}
{{- range $key, $value := .node -}}
{{- if kindIs "map" $value -}}
{{- $kind := get (dict "secretKeyRef" "Secret" "secretRef" "Secret" "secret" "Secret" "configMapKeyRef" "ConfigMap" "configMapRef" "ConfigMap" "configMap" "ConfigMap") $key -}}
{{- $name := $value.name | default $value.secretName -}}
{{- if and $kind $name (not $value.optional) }}
{{ dict "kind" $kind "name" $name "keys" (ternary (list $value.key) list (and (hasSuffix "KeyRef" $key) (not (kindIs "invalid" $value.key)))) "path" $path | toJson }}
{{- end }}
{{- end }}
{{- include "kubetune.named.references" (dict "path" $path "node" $value) }}
{{- end }}
{{- else if kindIs "slice" .node }}
{{- range .node }}{{ include "kubetune.named.references" (dict "path" $path "node" .) }}{{ end }}
{{- end }}
{{- end -}}
