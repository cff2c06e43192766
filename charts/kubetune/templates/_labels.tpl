{{/*
Labels. Selectors hold name, instance and component only and never change: they are immutable in a live Deployment.
*/}}

{{/* kubetune.selectorLabels: for selectors (a further selector is the caller's own line).
     Arguments: dict "root" $ "component" "scheduler". */}}
{{- define "kubetune.selectorLabels" -}}
app.kubernetes.io/name: kubetune
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* kubetune.labels: for the metadata of objects. Arguments: dict "root" $ "component" "scheduler". */}}
{{- define "kubetune.labels" -}}
{{ include "kubetune.selectorLabels" . }}
app.kubernetes.io/part-of: kubetune
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.global.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* kubetune.podLabels: for the metadata of pod templates. Without the chart's version, so that a new chart
     alone restarts nothing. Arguments: dict "root" $ "component" "scheduler"
     "access" (list "database" "object-store" "outside" "kubernetes-api" "endpoint"; optional)
     "labels" <map: podLabels of the values; optional>. */}}
{{- define "kubetune.podLabels" -}}
{{ include "kubetune.selectorLabels" . }}
app.kubernetes.io/part-of: kubetune
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- range .access }}
kubetune.io/access-{{ . }}: "true"
{{- end }}
{{- with .root.Values.global.labels }}
{{ toYaml . }}
{{- end }}
{{- with .labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* kubetune.checksum: one annotation line `checksum/<name>: <sha256>`, or nothing where
     global.checksumAnnotations is off. Arguments: dict "root" $ "name" "cluster" "of" <text>. */}}
{{- define "kubetune.checksum" -}}
{{- if .root.Values.global.checksumAnnotations -}}
checksum/{{ .name }}: {{ .of | sha256sum }}
{{- end -}}
{{- end -}}
