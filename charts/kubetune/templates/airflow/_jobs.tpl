{{/*
Specs of the Jobs, apart from the objects, because the objects' names carry a hash of them.
*/}}

{{/* kubetune.airflow.jobSpec: spec of a Job that runs Airflow once.
     Arguments: dict "root" $ "part" "migrate" "container" <text: the container's own lines> "init" <text; optional>
     "volumes" <text; optional> "ids" <list of Secrets whose change runs it again>. */}}
{{- define "kubetune.airflow.jobSpec" -}}
{{- $c := .root.Values.airflow.migrate -}}
backoffLimit: {{ $c.backoffLimit }}
ttlSecondsAfterFinished: {{ $c.ttlSecondsAfterFinished }}
template:
  metadata:
    labels:
      {{- include "kubetune.podLabels" (dict "root" .root "component" .part "access" (list "database") "labels" $c.podLabels) | nindent 6 }}
    annotations:
      {{- include "kubetune.secretChecksum" (dict "root" .root "ids" .ids) | nindent 6 }}
      {{- with $c.podAnnotations }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
  spec:
    {{- include "kubetune.pod.common" (dict "root" .root "account" "airflow" "values" $c) | nindent 4 }}
    restartPolicy: OnFailure
    {{- with .init }}
    initContainers:
      {{- . | nindent 6 }}
    {{- end }}
    containers:
      - name: {{ .part }}
        {{- include "kubetune.airflow.image" .root | nindent 8 }}
        {{- .container | nindent 8 }}
        {{- include "kubetune.airflow.env" (dict "root" .root "jwt" false "entries" $c.extraEnv) | nindent 8 }}
        {{- with $c.extraEnvFrom }}
        envFrom:
          {{- toYaml . | nindent 10 }}
        {{- end }}
        resources:
          {{- toYaml $c.resources | nindent 10 }}
        {{- include "kubetune.container.security" .root | nindent 8 }}
        volumeMounts:
          {{- include "kubetune.airflow.mounts" (dict "root" .root "values" $c) | nindent 10 }}
          {{- with .mounts }}
          {{- . | nindent 10 }}
          {{- end }}
    volumes:
      {{- include "kubetune.airflow.volumes" (dict "root" .root "jwt" false "values" $c) | nindent 6 }}
      {{- with .volumes }}
      {{- . | nindent 6 }}
      {{- end }}
{{- end -}}

{{/* kubetune.airflow.migrateSpec: waits for the database inside, as init containers do. Argument: $. */}}
{{- define "kubetune.airflow.migrateSpec" -}}
{{- $container := printf "command: [sh, -c]\nargs:\n  - python /etc/kubetune/scripts/database.py wait %d && exec airflow db migrate" (int .Values.airflow.migrate.waitSeconds) -}}
{{- include "kubetune.airflow.jobSpec" (dict "root" . "part" "migrate" "container" $container "ids" (list "airflow" "database")) -}}
{{- end -}}

{{/* kubetune.airflow.usersSpec: the users of the database; a changed Secret runs it again. Argument: $. */}}
{{- define "kubetune.airflow.usersSpec" -}}
{{- $init := include "kubetune.airflow.initContainers" (dict "root" . "values" dict) -}}
{{- $container := "command: [sh, /etc/kubetune/scripts/users.sh]" -}}
{{- include "kubetune.airflow.jobSpec" (dict "root" . "part" "users" "container" $container "init" $init "ids" (list "airflow" "database" "admin" "trigger") "mounts" (include "kubetune.airflow.loginMounts" .) "volumes" (include "kubetune.airflow.loginVolumes" .)) -}}
{{- end -}}
