{{/*
Every name of the chart. Argument of all: the root context ($), unless a comment says otherwise.
Nothing has a fixed name, so several releases share a namespace; all is cut to the 63 characters of a DNS label.
*/}}

{{/* kubetune.fullname: F, the prefix of all names: the release's name. */}}
{{- define "kubetune.fullname" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* kubetune.name: F-<part>. Arguments: dict "root" $ "part" "scheduler". */}}
{{- define "kubetune.name" -}}
{{- printf "%s-%s" (include "kubetune.fullname" .root) .part | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* kubetune.hashedName: F-<part>-<first 8 of the hash>, for immutable Jobs.
     Arguments: dict "root" $ "part" "migrate" "of" <text whose change needs a new object>. */}}
{{- define "kubetune.hashedName" -}}
{{- printf "%s-%s" (include "kubetune.name" . | trunc 54 | trimSuffix "-") (.of | sha256sum | trunc 8) -}}
{{- end -}}

{{/* kubetune.pipelineNamespaces: JSON list of the namespaces where stage pods run; the first one is Airflow's default.
     Use: include "kubetune.pipelineNamespaces" $ | fromJsonArray. */}}
{{- define "kubetune.pipelineNamespaces" -}}
{{- default (list .Release.Namespace) .Values.pipelines.namespaces | uniq | toJson -}}
{{- end -}}

{{/* kubetune.serviceAccountName: F-<part>. Arguments: dict "root" $ "part" "scheduler".
     Parts: scheduler triggerer api-server airflow (no token) · database object-store tracking · stage deploy (pipeline
     namespaces). */}}
{{- define "kubetune.serviceAccountName" -}}
{{- include "kubetune.name" . -}}
{{- end -}}

{{/* kubetune.storeUsers: JSON list of the object store's users. */}}
{{- define "kubetune.storeUsers" -}}
{{- $users := list "ingest" "fetch" "prepare" "train" "evaluate" "behave" "compare" "package" "register" "deploy" "serve" "housekeeping" "client" -}}
{{- if include "kubetune.airflow.remoteLogs" . }}{{ $users = append $users "logs" }}{{ end -}}
{{- if hasKey .Values.objectStore.users "backup" }}{{ $users = append $users "backup" }}{{ end -}}
{{- concat $users (include "kubetune.trackingUsers" . | fromJsonArray) | toJson -}}
{{- end -}}

{{/* kubetune.trackingUsers: JSON list of the users that tracking adds: the mirror's, and the bundled server's. */}}
{{- define "kubetune.trackingUsers" -}}
{{- $users := list -}}
{{- if .Values.tracking.enabled }}{{ $users = append $users "mirror" }}{{ end -}}
{{- if include "kubetune.tracking.bundled" . }}{{ $users = append $users "tracking" }}{{ end -}}
{{- toJson $users -}}
{{- end -}}

{{/* kubetune.pipelineUsers: JSON list of the store's users whose Secrets stage pods mount. */}}
{{- define "kubetune.pipelineUsers" -}}
{{- list "ingest" "fetch" "prepare" "train" "evaluate" "behave" "compare" "package" "register" "deploy" "housekeeping" | toJson -}}
{{- end -}}

{{/* kubetune.storeUrl: s3://bucket[/prefix], the setting KUBETUNE_STORE. */}}
{{- define "kubetune.storeUrl" -}}
{{- $prefix := .Values.objectStore.prefix | trimAll "/" -}}
s3://{{ .Values.objectStore.bucket }}{{ with $prefix }}/{{ . }}{{ end }}
{{- end -}}

{{/* kubetune.storeEndpoint: http(s)://host:port, the setting KUBETUNE_S3_ENDPOINT. */}}
{{- define "kubetune.storeEndpoint" -}}
{{- if eq .Values.objectStore.mode "bundled" -}}
{{- $scheme := ternary "https" "http" (ne .Values.objectStore.bundled.tls.existingSecret "") -}}
{{ $scheme }}://{{ include "kubetune.name" (dict "root" . "part" "object-store") }}.{{ .Release.Namespace }}.svc:9000
{{- else -}}
{{ .Values.objectStore.endpoint }}
{{- end -}}
{{- end -}}

{{/* kubetune.logsBucket: bucket of task logs, apart from the store's, so that its user sees nothing else. */}}
{{- define "kubetune.logsBucket" -}}
{{- .Values.airflow.logs.bucket | default (printf "%s-logs" .Values.objectStore.bucket) -}}
{{- end -}}

{{/* kubetune.apiServerUrl: Airflow's URL inside the cluster, without a slash at its end. */}}
{{- define "kubetune.apiServerUrl" -}}
{{- if eq .Values.airflow.mode "bundled" -}}
http://{{ include "kubetune.name" (dict "root" . "part" "api-server") }}.{{ .Release.Namespace }}.svc:8080
{{- else -}}
{{ .Values.airflow.url | trimSuffix "/" }}
{{- end -}}
{{- end -}}
