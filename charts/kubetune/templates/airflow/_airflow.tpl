{{/*
What the parts of Airflow share: settings, secrets as files, the wait for the migration.
*/}}

{{/* kubetune.airflow.enabled: "true" where the release runs its own Airflow. Argument: $. */}}
{{- define "kubetune.airflow.enabled" -}}
{{- if eq .Values.airflow.mode "bundled" }}true{{ end -}}
{{- end -}}

{{/* kubetune.airflow.remoteLogs: "true" where task logs are kept in the object store. Argument: $. */}}
{{- define "kubetune.airflow.remoteLogs" -}}
{{- if and .Values.airflow.logs.enabled (include "kubetune.airflow.enabled" .) }}true{{ end -}}
{{- end -}}

{{/* kubetune.airflow.access: JSON list of access labels of what writes or reads task logs. Argument: $. */}}
{{- define "kubetune.airflow.access" -}}
{{- $access := list "database" "kubernetes-api" "airflow" -}}
{{- if include "kubetune.airflow.remoteLogs" . }}{{ $access = append $access "object-store" }}{{ end -}}
{{- toJson $access -}}
{{- end -}}

{{/* kubetune.airflow.connection: SQLAlchemy URL of the metadata database. Argument: $. */}}
{{- define "kubetune.airflow.connection" -}}
{{- include "kubetune.secrets.resolve" . -}}
{{- $d := .Values.database -}}
{{- $password := get .Values._secrets.database.data "password" | urlquery | replace "+" "%20" -}}
{{- $host := ternary (printf "%s.%s.svc" (include "kubetune.name" (dict "root" . "part" "database")) .Release.Namespace) $d.host (eq $d.mode "bundled") -}}
postgresql+psycopg2://{{ $d.user | urlquery | replace "+" "%20" }}:{{ $password }}@{{ $host }}:{{ ternary 5432 (int $d.port) (eq $d.mode "bundled") }}/{{ $d.name | urlquery | replace "+" "%20" }}
{{- with $d.sslMode }}?sslmode={{ . }}{{ end }}
{{- end -}}

{{/* kubetune.airflow.baseUrl: the URL that people see, or nothing. Argument: $. */}}
{{- define "kubetune.airflow.baseUrl" -}}
{{- $ingress := .Values.airflow.apiServer.ingress -}}
{{- if .Values.airflow.baseUrl -}}
{{ .Values.airflow.baseUrl }}
{{- else if $ingress.enabled -}}
{{ ternary "https" "http" (ne $ingress.tlsSecret "") }}://{{ $ingress.host }}{{ $ingress.path }}
{{- end -}}
{{- end -}}

{{/* kubetune.airflow.env: the `env` block. Keys are files that Airflow reads by its _CMD settings, so that none lies in
     an environment. Arguments: dict "root" $ "jwt" true|false "logs" true (writes or reads task logs; optional) "plain" <map; optional> "entries" <extraEnv>. */}}
{{- define "kubetune.airflow.env" -}}
{{- $a := .root.Values.airflow -}}
{{- $plain := dict
  "HOME" "/tmp"
  "KUBETUNE_CLUSTER_FILE" "/etc/kubetune/settings/cluster.yaml"
  "KUBETUNE_RECIPES_DIR" "/etc/kubetune/recipes"
  "AIRFLOW__CORE__EXECUTOR" "LocalExecutor"
  "AIRFLOW__CORE__DAGS_FOLDER" "/opt/airflow/dags"
  "AIRFLOW__CORE__LOAD_EXAMPLES" "False"
  "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION" "False"
  "AIRFLOW__CORE__PARALLELISM" $a.scheduler.parallelism
  "AIRFLOW__CORE__EXECUTION_API_SERVER_URL" (printf "%s/execution/" (include "kubetune.apiServerUrl" .root))
  "AIRFLOW__CORE__FERNET_KEY_CMD" "cat /run/secrets/airflow/fernet_key"
  "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD" "cat /run/secrets/airflow/connection"
  "AIRFLOW__API__SECRET_KEY_CMD" "cat /run/secrets/airflow/api_secret_key"
  "AIRFLOW__API__EXPOSE_CONFIG" "False"
  "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS" "60"
  "AIRFLOW__WORKERS__API_RETRIES" "10"
  "AIRFLOW__WORKERS__API_RETRY_WAIT_MAX" "15"
  "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL" "60"
  "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK" "True"
  "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT" "120"
  "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT" "180"
  "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES" "1"
  "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL" "300"
  "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED" "False"
-}}
{{- if eq $a.auth.manager "fab" -}}
{{- $_ := set $plain "AIRFLOW__CORE__AUTH_MANAGER" "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager" -}}
{{- else -}}
{{- $_ := set $plain "AIRFLOW__CORE__AUTH_MANAGER" "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager" -}}
{{- $_ := set $plain "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS" (printf "%s:admin,%s:user" $a.auth.admin.username $a.auth.trigger.username) -}}
{{- end -}}
{{- with include "kubetune.airflow.baseUrl" .root }}{{ $_ := set $plain "AIRFLOW__API__BASE_URL" . }}{{ end -}}
{{- if .jwt }}{{ $_ := set $plain "AIRFLOW__API_AUTH__JWT_SECRET_CMD" "cat /run/secrets/airflow-jwt/jwt_secret" }}{{ end -}}
{{- if and .logs (include "kubetune.airflow.remoteLogs" .root) -}}
{{- /* The keys come from files by aws.ini; a connection would be one more place for them, and its lookup a request a log. */ -}}
{{- $_ := set $plain "AIRFLOW__LOGGING__REMOTE_LOGGING" "True" -}}
{{- $_ := set $plain "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER" (printf "s3://%s/airflow/%s" (include "kubetune.logsBucket" .root) (include "kubetune.fullname" .root)) -}}
{{- $_ := set $plain "AWS_CONFIG_FILE" "/etc/kubetune/scripts/aws.ini" -}}
{{- $_ := set $plain "AWS_EC2_METADATA_DISABLED" "true" -}}
{{- end -}}
{{- range $key, $value := $a.notices }}{{ with $value }}{{ $_ := set $plain (printf "KUBETUNE_NOTICES_%s" (upper $key)) . }}{{ end }}{{ end -}}
{{- with $a.gpuPool }}{{ $_ := set $plain "KUBETUNE_GPU_POOL" . }}{{ end -}}
{{- range $section, $keys := $a.config -}}
{{- range $key, $value := $keys -}}
{{- $_ := set $plain (printf "AIRFLOW__%s__%s" (upper $section) (upper $key)) $value -}}
{{- end -}}
{{- end -}}
{{- $plain = merge (dict) (.plain | default dict) $plain -}}
{{- include "kubetune.container.env" (dict "plain" $plain "entries" .entries) -}}
{{- end -}}
