{{/*
Rules over values that belong together: requests and limits, ports, hosts, disruption budgets.
*/}}

{{/* kubetune.validate.values: prints one error a line. Argument: $. */}}
{{- define "kubetune.validate.values" -}}
{{- $endpoints := include "kubetune.endpoints" . | fromJson -}}
{{- include "kubetune.validate.resources" (dict "path" "" "node" (omit .Values "serving" "_secrets" "_secretErrors")) }}
{{- include "kubetune.validate.resources" (dict "path" "serving.endpoints." "node" $endpoints) }}
{{- range $stage, $given := .Values.pipelines.resources }}
{{- $limit := $given.cpu | default "2" }}
{{- if include "kubetune.exceeds" (dict "this" $given.cpu_request "that" $limit) }}
pipelines.resources.{{ $stage }}.cpu_request is {{ $given.cpu_request }}, above its limit cpu {{ $limit }}: raise cpu, or lower cpu_request.
{{- end }}
{{- end }}
{{ include "kubetune.validate.nodePorts" (dict "root" . "endpoints" $endpoints) }}
{{ include "kubetune.validate.hosts" (dict "root" . "endpoints" $endpoints) }}
{{- range $name, $endpoint := $endpoints }}
{{- $pods := ternary $endpoint.autoscaling.minReplicas $endpoint.replicas $endpoint.autoscaling.enabled }}
{{ include "kubetune.validate.budget" (dict "path" (printf "serving.endpoints.%s" $name) "pdb" $endpoint.pdb "pods" $pods "more" (ternary "autoscaling.minReplicas" "replicas" $endpoint.autoscaling.enabled)) }}
{{- end }}
{{- if eq .Values.airflow.mode "bundled" }}
{{- range $part := list "apiServer" "scheduler" "triggerer" }}
{{- $component := get $.Values.airflow $part }}
{{ include "kubetune.validate.budget" (dict "path" (printf "airflow.%s" $part) "pdb" $component.pdb "pods" $component.replicas "more" "replicas") }}
{{- end }}
{{- end }}
{{- end -}}

{{/* kubetune.validate.resources: each request is at most its limit, wherever both stand.
     Arguments: dict "path" <prefix, with a dot at its end, or empty> "node" <any value>. */}}
{{- define "kubetune.validate.resources" -}}
{{- $path := .path -}}
{{- if kindIs "map" .node -}}
{{- $requests := get .node "requests" -}}
{{- $limits := get .node "limits" -}}
{{- if and (kindIs "map" $requests) (kindIs "map" $limits) -}}
{{- range $what, $request := $requests }}
{{- if include "kubetune.exceeds" (dict "this" $request "that" (get $limits $what)) }}
{{ $path }}requests.{{ $what }} is {{ $request }}, above limits.{{ $what }} {{ get $limits $what }}, which Kubernetes refuses: raise the limit, or lower the request.
{{- end }}
{{- end }}
{{- end }}
{{- range $key, $value := .node }}{{ include "kubetune.validate.resources" (dict "path" (printf "%s%s." $path $key) "node" $value) }}{{ end }}
{{- else if kindIs "slice" .node }}
{{- range $at, $value := .node }}{{ include "kubetune.validate.resources" (dict "path" (printf "%s[%d]." (trimSuffix "." $path) $at) "node" $value) }}{{ end }}
{{- end }}
{{- end -}}

{{/* kubetune.services: JSON of the Services that people may reach: path of their values → the values `service`.
     Arguments: dict "root" $ "endpoints" <all endpoints>. */}}
{{- define "kubetune.services" -}}
{{- $v := .root.Values -}}
{{- $found := dict -}}
{{- if eq $v.airflow.mode "bundled" }}{{ $_ := set $found "airflow.apiServer.service" $v.airflow.apiServer.service }}{{ end -}}
{{- if eq $v.objectStore.mode "bundled" }}{{ $_ := set $found "objectStore.bundled.service" $v.objectStore.bundled.service }}{{ end -}}
{{- if include "kubetune.tracking.bundled" .root }}{{ $_ := set $found "tracking.server.service" $v.tracking.server.service }}{{ end -}}
{{- range $name, $endpoint := .endpoints }}{{ $_ := set $found (printf "serving.endpoints.%s.service" $name) $endpoint.service }}{{ end -}}
{{- $found | toJson -}}
{{- end -}}

{{/* kubetune.validate.nodePorts: each port of the nodes is given to one Service, of a type that has one.
     Arguments: as kubetune.services. */}}
{{- define "kubetune.validate.nodePorts" -}}
{{- $taken := dict -}}
{{- range $path, $service := include "kubetune.services" . | fromJson -}}
{{- if $service.nodePort }}
{{- $port := int $service.nodePort | toString }}
{{- if eq $service.type "ClusterIP" }}
{{ $path }}.nodePort is {{ $port }} and type is ClusterIP, which has none: set type=NodePort, or leave nodePort out.
{{- else if hasKey $taken $port }}
{{ $path }}.nodePort and {{ get $taken $port }}.nodePort are both {{ $port }}: a port of the nodes belongs to one Service, give one of them another.
{{- else }}{{ $_ := set $taken $port $path }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* kubetune.edges: JSON list of what leads in from outside: path of the values, kind (ingress or httpRoute), its values,
     and the URL's paths. Arguments: as kubetune.services. */}}
{{- define "kubetune.edges" -}}
{{- $v := .root.Values -}}
{{- $found := list -}}
{{- $owners := dict -}}
{{- if eq $v.airflow.mode "bundled" }}{{ $_ := set $owners "airflow.apiServer" (dict "values" $v.airflow.apiServer "route" "/") }}{{ end -}}
{{- if include "kubetune.tracking.bundled" .root }}{{ $_ := set $owners "tracking.server" (dict "values" $v.tracking.server "route" "/") }}{{ end -}}
{{- range $name, $endpoint := .endpoints }}{{ $_ := set $owners (printf "serving.endpoints.%s" $name) (dict "values" $endpoint "route" "/predictions") }}{{ end -}}
{{- range $path, $owner := $owners -}}
{{- with $owner.values.ingress }}{{ if .enabled }}{{ $found = append $found (dict "path" (printf "%s.ingress" $path) "kind" "ingress" "hosts" (list .host) "routes" (concat (list (.path | default "/")) (.furtherPaths | default list)) "tls" .tlsSecret) }}{{ end }}{{ end -}}
{{- with $owner.values.httpRoute }}{{ if .enabled }}{{ $found = append $found (dict "path" (printf "%s.httpRoute" $path) "kind" "httpRoute" "hosts" (.hostnames | default (list "*")) "routes" (concat (list $owner.route) (.furtherPaths | default list))) }}{{ end }}{{ end -}}
{{- end -}}
{{- $found | toJson -}}
{{- end -}}

{{/* kubetune.validate.hosts: one host and path leads to one Service. Arguments: as kubetune.services. */}}
{{- define "kubetune.validate.hosts" -}}
{{- $taken := dict -}}
{{- $said := dict -}}
{{- range $edge := include "kubetune.edges" . | fromJsonArray -}}
{{- range $host := $edge.hosts }}
{{- range $route := $edge.routes }}
{{- $url := printf "%s%s" (lower $host) (trimSuffix "/" $route) }}
{{- $key := printf "%s %s" $edge.kind $url }}
{{- if hasKey $said $edge.path }}
{{- else if and $host (hasKey $taken $key) }}
{{- $_ := set $said $edge.path true }}
{{ $edge.path }} and {{ get $taken $key }} both lead in at {{ $url }}: give one of them another host{{ if eq $edge.kind "ingress" }} or path{{ end }}.
{{- else }}{{ $_ := set $taken $key $edge.path }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* kubetune.validate.budget: a budget has one bound and leaves a pod to evict, or a node could never be drained.
     Arguments: dict "path" "airflow.scheduler" "pdb" <values> "pods" <number> "more" <value that makes them more>. */}}
{{- define "kubetune.validate.budget" -}}
{{- $pods := int .pods -}}
{{- if .pdb.enabled -}}
{{- $stay := not (kindIs "invalid" .pdb.minAvailable) -}}
{{- if eq $stay (not (kindIs "invalid" .pdb.maxUnavailable)) }}
{{ .path }}.pdb needs minAvailable or maxUnavailable, and not both.
{{- else if $pods }}
{{- $share := include "kubetune.share" (dict "of" $pods "bound" (ternary .pdb.minAvailable .pdb.maxUnavailable $stay)) | int }}
{{- if le (ternary (sub $pods $share) $share $stay | int) 0 }}
{{ .path }}.pdb has {{ ternary "minAvailable" "maxUnavailable" $stay }} {{ ternary .pdb.minAvailable .pdb.maxUnavailable $stay }} of {{ $pods }} pod{{ if ne $pods 1 }}s{{ end }}, which leaves none to evict, so that no node could be drained: raise {{ .more }}, {{ if $stay }}or lower minAvailable{{ else }}or set maxUnavailable to 1{{ end }}.
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
