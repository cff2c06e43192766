{{/*
How people log in: the simple manager's password file, or users in the database.
*/}}

{{/* kubetune.airflow.loginText: what a change of must restart the api-server for: simple logins are read at its start.
     Argument: $. */}}
{{- define "kubetune.airflow.loginText" -}}
{{- include "kubetune.secrets.resolve" . -}}
{{- if ne .Values.airflow.auth.manager "fab" -}}
{{- list (get .Values._secrets "admin") (get .Values._secrets "trigger") | toJson -}}
{{- end -}}
{{- end -}}

{{/* kubetune.airflow.loginVolumes: entries of `volumes` with both users' Secrets. Argument: $. */}}
{{- define "kubetune.airflow.loginVolumes" -}}
- name: login-secrets
  projected:
    defaultMode: 0440
    sources:
      - secret:
          name: {{ include "kubetune.secretName" (dict "root" . "id" "admin") }}
          items:
            - {key: username, path: admin/username}
            - {key: password, path: admin/password}
      - secret:
          name: {{ include "kubetune.secretName" (dict "root" . "id" "trigger") }}
          items:
            - {key: kubetune_airflow_user, path: trigger/username}
            - {key: kubetune_airflow_password, path: trigger/password}
{{- end -}}

{{/* kubetune.airflow.loginMounts: entries of `volumeMounts` for them. Argument: $. */}}
{{- define "kubetune.airflow.loginMounts" -}}
- {name: login-secrets, mountPath: /run/secrets/login, readOnly: true}
{{- end -}}

{{/* kubetune.airflow.passwordsContainer: init container that writes the simple manager's file, which it opens for
     writing, so that a mounted Secret would not do. Argument: $. */}}
{{- define "kubetune.airflow.passwordsContainer" -}}
{{- $auth := .Values.airflow.auth -}}
- name: passwords
  {{- include "kubetune.airflow.image" . | nindent 2 }}
  command:
    - python
    - /etc/kubetune/scripts/passwords.py
    - /run/kubetune/login/passwords.json
    - {{ printf "%s=/run/secrets/login/admin/password" $auth.admin.username | quote }}
    - {{ printf "%s=/run/secrets/login/trigger/password" $auth.trigger.username | quote }}
  resources:
    {{- toYaml .Values.airflow.migrate.resources | nindent 4 }}
  {{- include "kubetune.container.security" . | nindent 2 }}
  volumeMounts:
    {{- include "kubetune.container.tmpMount" (dict) | nindent 4 }}
    - {name: login, mountPath: /run/kubetune/login}
    - {name: scripts, mountPath: /etc/kubetune/scripts, readOnly: true}
    {{- include "kubetune.airflow.loginMounts" . | nindent 4 }}
{{- end -}}

{{/* kubetune.airflow.healthPath: path of the api-server's health, below the path of its base URL. Argument: $. */}}
{{- define "kubetune.airflow.healthPath" -}}
{{- $base := include "kubetune.airflow.baseUrl" . -}}
{{- $path := "" -}}
{{- with $base }}{{ $path = (urlParse .).path | trimSuffix "/" }}{{ end -}}
{{ $path }}/api/v2/monitor/health
{{- end -}}
