{{/*
What MLflow's server, the mirror that writes into it and the test of both share.
*/}}

{{/* kubetune.tracking.bundled: "true" where the release runs its own server. Argument: $. */}}
{{- define "kubetune.tracking.bundled" -}}
{{- if and .Values.tracking.enabled (not .Values.tracking.external.url) }}true{{ end -}}
{{- end -}}

{{/* kubetune.tracking.url: http(s)://host[:port], the setting KUBETUNE_TRACKING. Argument: $. */}}
{{- define "kubetune.tracking.url" -}}
{{- if include "kubetune.tracking.bundled" . -}}
http://{{ include "kubetune.name" (dict "root" . "part" "tracking") }}.{{ .Release.Namespace }}.svc:5000
{{- else -}}
{{ .Values.tracking.external.url | trimSuffix "/" }}
{{- end -}}
{{- end -}}

{{/* kubetune.tracking.connection: SQLAlchemy URL of its own database in the bundled PostgreSQL. Argument: $. */}}
{{- define "kubetune.tracking.connection" -}}
{{- include "kubetune.secrets.resolve" . -}}
{{- $d := .Values.tracking.database -}}
{{- $password := get (get .Values._secrets "tracking-database").data "password" | urlquery | replace "+" "%20" -}}
{{- $host := printf "%s.%s.svc" (include "kubetune.name" (dict "root" . "part" "database")) .Release.Namespace -}}
postgresql+psycopg2://{{ $d.user | urlquery | replace "+" "%20" }}:{{ $password }}@{{ $host }}:5432/{{ $d.name | urlquery | replace "+" "%20" }}
{{- end -}}

{{/* kubetune.tracking.specs: its rows of the table of Secrets. A lost value harms nothing: each start makes database and
     users what the Secrets say. Argument: $. */}}
{{- define "kubetune.tracking.specs" -}}
{{- $t := .Values.tracking -}}
{{- if include "kubetune.tracking.bundled" . }}
tracking:
  part: tracking
  path: tracking.secrets
  existing: {{ $t.secrets.existingSecret | quote }}
  replaceable: true
  fields:
    flask_secret_key: {value: {{ $t.secrets.flaskSecretKey | quote }}, generate: key}
tracking-admin:
  part: tracking-admin
  path: tracking.auth.admin
  existing: {{ $t.auth.admin.existingSecret | quote }}
  replaceable: true
  fields:
    username: {value: {{ $t.auth.admin.username | quote }}}
    password: {value: {{ $t.auth.admin.password | quote }}, generate: text}
tracking-mirror:
  part: tracking-mirror
  path: tracking.auth.mirror
  existing: {{ $t.auth.mirror.existingSecret | quote }}
  replaceable: true
  fields:
    kubetune_tracking_user: {value: {{ $t.auth.mirror.username | quote }}}
    kubetune_tracking_password: {value: {{ $t.auth.mirror.password | quote }}, generate: text}
{{- /* Outside, it exists, or kubetune.validate.tracking says that it must. */}}
{{- $outside := ternary "" (include "kubetune.name" (dict "root" . "part" "tracking-database")) (eq .Values.database.mode "bundled") }}
tracking-database:
  part: tracking-database
  path: tracking.database
  existing: {{ $t.database.existingSecret | default $outside | quote }}
  replaceable: true
  fields:
    password: {value: {{ $t.database.password | quote }}, generate: text}
{{- else if and $t.enabled (or $t.external.existingSecret $t.external.user) }}
tracking-mirror:
  part: tracking-mirror
  path: tracking.external
  existing: {{ $t.external.existingSecret | quote }}
  fields:
    kubetune_tracking_user: {value: {{ $t.external.user | quote }}}
    kubetune_tracking_password: {value: {{ $t.external.password | quote }}}
{{- end }}
{{- end -}}

{{/* kubetune.tracking.edges: JSON list of the host names under which people reach the server. Argument: $. */}}
{{- define "kubetune.tracking.edges" -}}
{{- $c := .Values.tracking.server -}}
{{- $hosts := list -}}
{{- if $c.ingress.enabled }}{{ $hosts = append $hosts $c.ingress.host }}{{ end -}}
{{- if $c.httpRoute.enabled }}{{ $hosts = concat $hosts $c.httpRoute.hostnames }}{{ end -}}
{{- $hosts | uniq | toJson -}}
{{- end -}}

{{/* kubetune.tracking.hosts: what --allowed-hosts takes: the Service's names, the edges, a port-forward, and the values'
     own. MLflow compares the header as it comes, with the port where there is one. Argument: $. */}}
{{- define "kubetune.tracking.hosts" -}}
{{- $name := include "kubetune.name" (dict "root" . "part" "tracking") -}}
{{- $hosts := list "localhost" "localhost:*" "127.0.0.1" "127.0.0.1:*" -}}
{{- range $suffix := list "" (printf ".%s" .Release.Namespace) (printf ".%s.svc" .Release.Namespace) -}}
{{- $hosts = append $hosts (printf "%s%s:5000" $name $suffix) -}}
{{- end -}}
{{- range $host := include "kubetune.tracking.edges" . | fromJsonArray }}{{ $hosts = concat $hosts (list $host (printf "%s:*" $host)) }}{{ end -}}
{{- concat $hosts .Values.tracking.server.allowedHosts | uniq | join "," -}}
{{- end -}}

{{/* kubetune.tracking.origins: what --cors-allowed-origins takes: the pages of its own edges. Argument: $. */}}
{{- define "kubetune.tracking.origins" -}}
{{- $origins := list (include "kubetune.tracking.url" .) -}}
{{- range $host := include "kubetune.tracking.edges" . | fromJsonArray }}{{ $origins = concat $origins (list (printf "https://%s" $host) (printf "http://%s" $host)) }}{{ end -}}
{{- $origins | uniq | join "," -}}
{{- end -}}

{{/* kubetune.tracking.image: the lines image and imagePullPolicy. Argument: $. */}}
{{- define "kubetune.tracking.image" -}}
image: {{ include "kubetune.image" (dict "root" . "name" "tracking") }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end -}}

{{/* kubetune.tracking.quiet: variables that keep MLflow from telling anyone it is used, and from running jobs, as YAML. */}}
{{- define "kubetune.tracking.quiet" -}}
HOME: /tmp
MLFLOW_DISABLE_TELEMETRY: "true"
DO_NOT_TRACK: "true"
MLFLOW_SERVER_ENABLE_JOB_EXECUTION: "false"
GIT_PYTHON_REFRESH: quiet
{{- end -}}

{{/* kubetune.tracking.scriptsVolume, kubetune.tracking.scriptsMount: the program around the server. Argument: $. */}}
{{- define "kubetune.tracking.scriptsVolume" -}}
- name: scripts
  configMap:
    name: {{ include "kubetune.name" (dict "root" . "part" "tracking-scripts") }}
{{- end -}}

{{- define "kubetune.tracking.scriptsMount" -}}
- {name: scripts, mountPath: /etc/kubetune/scripts, readOnly: true}
{{- end -}}

{{/* kubetune.tracking.caVolume: entry of `volumes` for a private certificate authority, or nothing. Argument: $. */}}
{{- define "kubetune.tracking.caVolume" -}}
{{- with .Values.global.caConfigMap -}}
- name: ca
  configMap:
    name: {{ . }}
{{- end -}}
{{- end -}}

{{/* kubetune.tracking.databaseSpec: spec of the Job that makes role and database; a changed password runs it again. It
     alone sees the superuser's connection. Argument: $. */}}
{{- define "kubetune.tracking.databaseSpec" -}}
{{- $c := .Values.tracking.database -}}
backoffLimit: {{ $c.backoffLimit }}
ttlSecondsAfterFinished: {{ $c.ttlSecondsAfterFinished }}
template:
  metadata:
    labels:
      {{- include "kubetune.podLabels" (dict "root" . "component" "tracking-database" "access" (list "database")) | nindent 6 }}
    annotations:
      {{- include "kubetune.secretChecksum" (dict "root" . "ids" (list "database" "tracking-database")) | nindent 6 }}
  spec:
    {{- include "kubetune.pod.common" (dict "root" . "account" "tracking" "values" .Values.tracking.server) | nindent 4 }}
    restartPolicy: OnFailure
    containers:
      - name: database
        {{- include "kubetune.tracking.image" . | nindent 8 }}
        command: [python, /etc/kubetune/scripts/tracking.py, database, {{ $c.waitSeconds | quote }}]
        {{- include "kubetune.container.env" (dict "plain" (include "kubetune.tracking.quiet" . | fromYaml)) | nindent 8 }}
        terminationMessagePolicy: FallbackToLogsOnError
        resources:
          {{- toYaml $c.resources | nindent 10 }}
        {{- include "kubetune.container.security" . | nindent 8 }}
        volumeMounts:
          - {name: tracking-secrets, mountPath: /run/secrets/tracking, readOnly: true}
          {{- include "kubetune.tracking.scriptsMount" . | nindent 10 }}
          {{- include "kubetune.container.tmpMount" (dict) | nindent 10 }}
    volumes:
      {{- include "kubetune.pod.tmpVolume" (dict) | nindent 6 }}
      {{- include "kubetune.tracking.scriptsVolume" . | nindent 6 }}
      - name: tracking-secrets
        projected:
          defaultMode: 0440
          sources:
            - secret:
                name: {{ include "kubetune.secretName" (dict "root" . "id" "database") }}
                items:
                  - {key: connection, path: root_connection}
            - secret:
                name: {{ include "kubetune.secretName" (dict "root" . "id" "tracking-database") }}
                items:
                  - {key: connection, path: connection}
{{- end -}}

{{/* kubetune.validate.tracking: its rules; prints one error a line. Argument: $. */}}
{{- define "kubetune.validate.tracking" -}}
{{- $t := .Values.tracking -}}
{{- if and $t.external.url (not $t.enabled) }}
tracking.external.url is given and tracking.enabled is false: enable it, or leave the URL out.
{{- end }}
{{- if include "kubetune.tracking.bundled" . }}
{{- if and (eq .Values.database.mode "external") (not $t.database.existingSecret) }}
tracking.database.existingSecret is empty and database.mode is external: name a Secret with the key `connection`, the SQLAlchemy URL of a database for MLflow alone, or give tracking.external.url.
{{- end }}
{{- if and $t.server.ingress.enabled (not $t.server.ingress.host) }}
tracking.server.ingress.host is empty: give the host name under which people reach MLflow.
{{- end }}
{{- if and $t.server.httpRoute.enabled (or (not $t.server.httpRoute.parentRefs) (not $t.server.httpRoute.hostnames)) }}
tracking.server.httpRoute needs parentRefs (the Gateway) and hostnames, since MLflow refuses a host that it does not know.
{{- end }}
{{- if has "*" $t.server.allowedHosts }}
tracking.server.allowedHosts holds *, which would let any page of a browser ask MLflow: name the hosts.
{{- end }}
{{- if eq $t.auth.admin.username $t.auth.mirror.username }}
tracking.auth.admin.username and tracking.auth.mirror.username are both {{ $t.auth.admin.username }}: give the mirror a user of its own, which is no administrator.
{{- end }}
{{- range $who, $user := $t.auth }}
{{- if and $user.password (lt (len $user.password) 12) }}
tracking.auth.{{ $who }}.password has {{ len $user.password }} characters, and MLflow asks for 12: make it longer.
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
