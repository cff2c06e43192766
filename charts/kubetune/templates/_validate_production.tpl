{{/*
What global.production refuses. What is for trials only has no exception; each other rule has one of its own in
global.productionExceptions, whose text is the reason for it.
*/}}

{{/* kubetune.strict: "true" where a rule of production holds. Arguments: dict "root" $ "rule" <name of its exception>. */}}
{{- define "kubetune.strict" -}}
{{- $global := .root.Values.global -}}
{{- if and $global.production (not (get $global.productionExceptions .rule)) }}true{{ end -}}
{{- end -}}

{{/* kubetune.validate.production: prints one error a line. Argument: $. */}}
{{- define "kubetune.validate.production" -}}
{{- if .Values.global.production -}}
{{ include "kubetune.production.trials" . }}
{{ include "kubetune.production.transport" . }}
{{ include "kubetune.production.origin" . }}
{{- if .Values.network.enabled }}
{{ include "kubetune.production.network" . }}
{{- end }}
{{- end -}}
{{- range $rule, $reason := .Values.global.productionExceptions }}
{{- if and $reason (not $.Values.global.production) }}
global.productionExceptions.{{ $rule }} is given and global.production is false, where nothing is refused: leave it out, or set global.production=true.
{{- end }}
{{- end }}
{{- end -}}

{{/* kubetune.production.trials: parts without replica, with plain or drawn secrets, or without keys. Argument: $. */}}
{{- define "kubetune.production.trials" -}}
{{- $v := .Values -}}
{{- if eq $v.database.mode "bundled" }}
database.mode is bundled, a trial database without replica or backup, which global.production refuses: set database.mode=external.
{{- end }}
{{- if eq $v.objectStore.mode "bundled" }}
objectStore.mode is bundled, a single server without replica, which global.production refuses: set objectStore.mode=external.
{{- end }}
{{- if $v.secrets.generate }}
secrets.generate is true, which global.production refuses, since a render without the cluster would rotate keys: name existing Secrets.
{{- end }}
{{- if and (eq $v.airflow.mode "bundled") (ne $v.airflow.auth.manager "fab") }}
airflow.auth.manager is {{ $v.airflow.auth.manager }}, which keeps passwords in plain text; global.production wants fab.
{{- end }}
{{- if not $v.network.enabled }}
network.enabled is false, which global.production refuses: enable it on a cluster whose network plugin enforces policies.
{{- end }}
{{- if and $v.tests.enabled $v.serving.endpoints (not $v.tests.apiKeySecret) }}
tests.apiKeySecret is empty, so that `helm test` could ask no endpoint for a prediction, which global.production refuses: name a Secret with the key kubetune_api_key, or set tests.enabled=false.
{{- end }}
{{- end -}}

{{/* kubetune.production.unless: the end of each sentence below. Argument: name of the exception. */}}
{{- define "kubetune.production.unless" -}}
or give your reason in global.productionExceptions.{{ . }}
{{- end -}}

{{/* kubetune.production.transport: whatever carries keys, texts or models is encrypted. Argument: $. */}}
{{- define "kubetune.production.transport" -}}
{{- $v := .Values -}}
{{- if include "kubetune.strict" (dict "root" . "rule" "plainHttp") }}
{{- range $path, $url := dict "objectStore.endpoint" (ternary $v.objectStore.endpoint "" (eq $v.objectStore.mode "external")) "airflow.url" (ternary $v.airflow.url "" (eq $v.airflow.mode "external")) "airflow.baseUrl" $v.airflow.baseUrl "tracking.external.url" (ternary $v.tracking.external.url "" $v.tracking.enabled) }}
{{- if hasPrefix "http://" (lower $url) }}
{{ $path }} is {{ $url }}: keys and data would travel in plain text, which global.production refuses: give https://, {{ include "kubetune.production.unless" "plainHttp" }}.
{{- end }}
{{- end }}
{{- end }}
{{- if and (eq $v.database.mode "external") (eq $v.airflow.mode "bundled") (include "kubetune.strict" (dict "root" . "rule" "databaseWithoutTls")) }}
{{- /* With an existing Secret the whole URL is in there; a mode that is given all the same says what is meant. */}}
{{- if not (or (has $v.database.sslMode (list "require" "verify-ca" "verify-full")) (and $v.database.existingSecret (not $v.database.sslMode))) }}
database.sslMode is {{ $v.database.sslMode | default "empty, which means prefer" }}: the connection may be in plain text, which global.production refuses: set verify-full (or verify-ca, require), {{ include "kubetune.production.unless" "databaseWithoutTls" }}.
{{- end }}
{{- end }}
{{- if include "kubetune.strict" (dict "root" . "rule" "publishedWithoutTls") }}
{{- $arguments := dict "root" . "endpoints" (include "kubetune.endpoints" . | fromJson) }}
{{- range $edge := include "kubetune.edges" $arguments | fromJsonArray }}
{{- if and (eq $edge.kind "ingress") (not $edge.tls) }}
{{ $edge.path }} has no tlsSecret: logins and texts would travel in plain text, which global.production refuses: name a Secret of type kubernetes.io/tls, {{ include "kubetune.production.unless" "publishedWithoutTls" }}.
{{- end }}
{{- end }}
{{- range $path, $service := include "kubetune.services" $arguments | fromJson }}
{{- if ne $service.type "ClusterIP" }}
{{ $path }}.type is {{ $service.type }}, which publishes plain HTTP and which global.production refuses: set ClusterIP with an ingress or httpRoute, {{ include "kubetune.production.unless" "publishedWithoutTls" }}.
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* kubetune.production.origin: archives are signed, images are fixed by their digests. Argument: $. */}}
{{- define "kubetune.production.origin" -}}
{{- $v := .Values -}}
{{- if and $v.serving.endpoints (not $v.signing.trustedSecret) (include "kubetune.strict" (dict "root" . "rule" "unsignedArchives")) }}
signing.trustedSecret is empty, so that endpoints serve an archive of anybody who can write to the store, which global.production refuses: name a Secret with public keys (kubetune signing-key), {{ include "kubetune.production.unless" "unsignedArchives" }}.
{{- end }}
{{- if include "kubetune.strict" (dict "root" . "rule" "imagesByTag") }}
{{- $missing := list }}
{{- range $name := include "kubetune.usedImages" . | fromJsonArray }}{{ if not (get $v.image.digests $name) }}{{ $missing = append $missing $name }}{{ end }}{{ end }}
{{- with $missing }}
image.digests lacks {{ join ", " . }}: a tag can be moved to another image, which global.production refuses: give sha256:… of each, {{ include "kubetune.production.unless" "imagesByTag" }}.
{{- end }}
{{- include "kubetune.production.sidecars" (dict "path" "" "node" (omit .Values "_secrets" "_secretErrors")) }}
{{- end }}
{{- end -}}

{{/* kubetune.usedImages: JSON list of the images of ours that this release or its stages run. Argument: $. */}}
{{- define "kubetune.usedImages" -}}
{{- $used := list "ingest" "prepare" "train" "evaluate" "package" "deploy" -}}
{{- if .Values.serving.endpoints }}{{ $used = append $used "serve" }}{{ end -}}
{{- if eq .Values.airflow.mode "bundled" }}{{ $used = append $used "airflow" }}{{ end -}}
{{- if and (eq .Values.objectStore.mode "bundled") (not .Values.objectStore.bundled.image) }}{{ $used = append $used "minio" }}{{ end -}}
{{- if .Values.tracking.enabled }}{{ $used = append $used "tracking" }}{{ end -}}
{{- $used | toJson -}}
{{- end -}}

{{/* kubetune.production.sidecars: further containers have a digest too.
     Arguments: dict "path" <prefix, with a dot at its end, or empty> "node" <any value>. */}}
{{- define "kubetune.production.sidecars" -}}
{{- $path := .path -}}
{{- if kindIs "map" .node -}}
{{- range $key, $value := .node -}}
{{- if and (has $key (list "extraContainers" "extraInitContainers")) (kindIs "slice" $value) -}}
{{- range $value }}
{{- if not (contains "@sha256:" (toString .image)) }}
{{ $path }}{{ $key }}: image {{ .image }} of {{ .name }} has no digest: a tag can be moved to another image, which global.production refuses: write name@sha256:…, {{ include "kubetune.production.unless" "imagesByTag" }}.
{{- end }}
{{- end }}
{{- else }}{{ include "kubetune.production.sidecars" (dict "path" (printf "%s%s." $path $key) "node" $value) }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* kubetune.production.network: who may call in, and what may be called outside. Argument: $. */}}
{{- define "kubetune.production.network" -}}
{{- $v := .Values -}}
{{- $n := $v.network -}}
{{- if and (not $n.ingressFrom) (include "kubetune.strict" (dict "root" . "rule" "openIngress")) }}
network.ingressFrom is empty: every pod of the cluster could call endpoints and logins, which global.production refuses: give the peers that may, for example the ingress controller's namespace, {{ include "kubetune.production.unless" "openIngress" }}.
{{- end }}
{{- if include "kubetune.strict" (dict "root" . "rule" "openPrivateNetworks") }}
{{- range $path, $block := dict "network.outside" $n.outside "network.notices" (dict "cidrs" ($n.notices.cidrs | default (list "127.0.0.1/32")) "except" list) }}
{{- with include "kubetune.cidr.open" (dict "cidrs" $block.cidrs "except" $block.except) | fromJsonArray }}
{{ $path }} opens the private networks {{ join ", " . }} as a part of wider blocks, which global.production refuses: {{ if eq $path "network.outside" }}put them into except, and name what a source needs of them in cidrs{{ else }}name the addresses in cidrs{{ end }}, {{ include "kubetune.production.unless" "openPrivateNetworks" }}.
{{- end }}
{{- end }}
{{- end }}
{{- if include "kubetune.strict" (dict "root" . "rule" "openEgress") }}
{{- $open := list }}
{{- if and (eq $v.objectStore.mode "external") (not $n.objectStore.cidrs) }}{{ $open = append $open "network.objectStore.cidrs" }}{{ end }}
{{- if and (eq $v.database.mode "external") (not $n.database.cidrs) (or (eq $v.airflow.mode "bundled") (include "kubetune.tracking.bundled" .)) }}{{ $open = append $open "network.database.cidrs" }}{{ end }}
{{- if not (or $n.kubernetesApi.cidrs $n.kubernetesApi.discover) }}{{ $open = append $open "network.kubernetesApi.cidrs" }}{{ end }}
{{- if and (eq $v.airflow.mode "external") (or $v.tests.enabled $v.airflow.schedules) (not $n.airflow.cidrs) }}{{ $open = append $open "network.airflow.cidrs" }}{{ end }}
{{- if and $v.tracking.enabled $v.tracking.external.url (not $n.tracking.cidrs) }}{{ $open = append $open "network.tracking.cidrs" }}{{ end }}
{{- range $open }}
{{ . }} is empty, so that its pods may call any address on its port, which global.production refuses: give the blocks, {{ include "kubetune.production.unless" "openEgress" }}.
{{- end }}
{{- end }}
{{- end -}}
