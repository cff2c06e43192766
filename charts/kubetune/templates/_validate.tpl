{{/*
Rules that a schema cannot say. All errors are reported at once: found, allowed, what to do.
kubetune.validate is called by templates/checks.yaml, which renders nothing else.
*/}}

{{/* kubetune.validate: fails with all errors, or renders nothing. Argument: $. A component adds its rules as
     a template kubetune.validate.<component> that prints one error a line. */}}
{{- define "kubetune.validate" -}}
{{- include "kubetune.secrets.resolve" . -}}
{{- $errors := .Values._secretErrors -}}
{{- range list "core" "airflow" "schedules" "edge" "values" "tracking" "production" "live" -}}
{{- range include (printf "kubetune.validate.%s" .) $ | splitList "\n" -}}
{{- with trim . }}{{ $errors = append $errors . }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if $errors -}}
{{- fail (printf "\nkubetune cannot be installed with these values:\n - %s\n" (join "\n - " (uniq $errors))) -}}
{{- end -}}
{{- end -}}

{{/* kubetune.validate.core: names, database and store. Argument: $. */}}
{{- define "kubetune.validate.core" -}}
{{- $v := .Values -}}
{{- if gt (len .Release.Name) 40 }}
The release's name has {{ len .Release.Name }} characters, 40 are allowed, so that all names fit into 63: choose a shorter one.
{{- end }}
{{- if and (eq $v.database.mode "external") (eq $v.airflow.mode "bundled") (not $v.database.existingSecret) (not $v.database.host) }}
database.mode is external and database.host is empty: give host, name and user, or a Secret with the key `connection` in database.existingSecret.
{{- end }}
{{- if and (eq $v.objectStore.mode "external") (not $v.objectStore.endpoint) }}
objectStore.mode is external and objectStore.endpoint is empty: give http(s)://host:port of the S3 server.
{{- end }}
{{- end -}}

{{/* kubetune.validate.airflow: rules of the scheduler's part. Argument: $. */}}
{{- define "kubetune.validate.airflow" -}}
{{- $a := .Values.airflow -}}
{{- if not (semverCompare ">=3.3.0 <3.4.0" $a.version) }}
airflow.version is {{ $a.version }}; this chart is made for 3.3.x: use the image of this release.
{{- end }}
{{- if and (eq $a.mode "external") (not $a.url) }}
airflow.mode is external and airflow.url is empty: give the URL of your Airflow, as this cluster's pods reach it.
{{- end }}
{{- range $section, $keys := $a.config }}
{{- range $key, $_ := $keys }}
{{- $name := printf "%s.%s" (lower $section) (lower $key) }}
{{- if has $name (list "core.fernet_key" "database.sql_alchemy_conn" "api.secret_key" "api_auth.jwt_secret") }}
airflow.config.{{ $name }} is a secret: name it in airflow.secrets or database instead, which mount it as a file.
{{- else if has $name (list "core.executor" "core.auth_manager" "core.simple_auth_manager_all_admins" "core.execution_api_server_url" "core.dags_folder") }}
airflow.config.{{ $name }} is set by the chart or refused by it: leave it out.
{{- end }}
{{- end }}
{{- end }}
{{- if and $a.notices.smtp (not $a.notices.to) }}
airflow.notices.smtp is {{ $a.notices.smtp }} and airflow.notices.to is empty: give the mail addresses that notices go to.
{{- end }}
{{- if and $a.apiServer.ingress.enabled (not $a.apiServer.ingress.host) }}
airflow.apiServer.ingress.host is empty: give the host name under which people reach Airflow.
{{- end }}
{{- end -}}
