{{/*
Volumes, mounts and init containers that Airflow's parts share.
*/}}

{{/* kubetune.airflow.volumes: entries of `volumes`. Arguments: dict "root" $ "jwt" true|false
     "logsSize" "1Gi" (none: no log folder) "logs" true (writes or reads task logs; optional) "values" <component>. */}}
{{- define "kubetune.airflow.volumes" -}}
{{ include "kubetune.pod.tmpVolume" (dict) }}
{{- with .logsSize }}
- name: logs
  emptyDir:
    sizeLimit: {{ . }}
{{- end }}
- name: airflow-secrets
  projected:
    defaultMode: 0440
    sources:
      - secret:
          name: {{ include "kubetune.secretName" (dict "root" .root "id" "airflow") }}
          items:
            - {key: fernet_key, path: fernet_key}
            - {key: api_secret_key, path: api_secret_key}
      - secret:
          name: {{ include "kubetune.secretName" (dict "root" .root "id" "database") }}
          items:
            - {key: connection, path: connection}
{{- if .jwt }}
# Apart, so that init containers do not see it.
- name: airflow-jwt
  secret:
    secretName: {{ include "kubetune.secretName" (dict "root" .root "id" "airflow") }}
    defaultMode: 0440
    items:
      - {key: jwt_secret, path: jwt_secret}
{{- end }}
{{- if and .logs (include "kubetune.airflow.remoteLogs" .root) }}
- name: airflow-logs
  secret:
    secretName: {{ include "kubetune.secretName" (dict "root" .root "id" "store-logs") }}
    defaultMode: 0440
    items:
      - {key: kubetune_s3_access_key, path: access_key}
      - {key: kubetune_s3_secret_key, path: secret_key}
{{- with .root.Values.global.caConfigMap }}
- name: ca
  configMap:
    name: {{ . }}
{{- end }}
{{- end }}
- name: settings
  configMap:
    name: {{ include "kubetune.name" (dict "root" .root "part" "cluster") }}
- name: recipes
  configMap:
    name: {{ include "kubetune.recipesConfigMap" .root }}
- name: scripts
  configMap:
    name: {{ include "kubetune.name" (dict "root" .root "part" "scripts") }}
{{- with .values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* kubetune.airflow.mounts: entries of `volumeMounts`. Arguments: as kubetune.airflow.volumes. */}}
{{- define "kubetune.airflow.mounts" -}}
{{ include "kubetune.container.tmpMount" (dict) }}
{{- if .logsSize }}
- name: logs
  mountPath: /opt/airflow/logs
{{- end }}
- name: airflow-secrets
  mountPath: /run/secrets/airflow
  readOnly: true
{{- if .jwt }}
- name: airflow-jwt
  mountPath: /run/secrets/airflow-jwt
  readOnly: true
{{- end }}
{{- if and .logs (include "kubetune.airflow.remoteLogs" .root) }}
- name: airflow-logs
  mountPath: /run/secrets/airflow-logs
  readOnly: true
{{- if .root.Values.global.caConfigMap }}
- name: ca
  mountPath: /etc/kubetune/ca
  readOnly: true
{{- end }}
{{- end }}
- name: settings
  mountPath: /etc/kubetune/settings
  readOnly: true
- name: recipes
  mountPath: /etc/kubetune/recipes
  readOnly: true
- name: scripts
  mountPath: /etc/kubetune/scripts
  readOnly: true
{{- with .values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* kubetune.airflow.initContainers: waits for the database and its migration, then the values' own. A database that is
     away is waited for inside, because a failing container would back off longer and longer.
     Arguments: dict "root" $ "values" <component> "first" <text of further init containers; optional>. */}}
{{- define "kubetune.airflow.initContainers" -}}
- name: wait-for-migration
  {{- include "kubetune.airflow.image" .root | nindent 2 }}
  command: [sh, -c]
  args:
    - python /etc/kubetune/scripts/database.py wait {{ .root.Values.airflow.migrate.waitSeconds }} &&
      exec airflow db check-migrations --migration-wait-timeout={{ .root.Values.airflow.migrate.waitSeconds }}
  {{- include "kubetune.airflow.env" (dict "root" .root "jwt" false) | nindent 2 }}
  resources:
    {{- toYaml .root.Values.airflow.migrate.resources | nindent 4 }}
  {{- include "kubetune.container.security" .root | nindent 2 }}
  volumeMounts:
    {{- include "kubetune.airflow.mounts" (dict "root" .root "values" dict) | nindent 4 }}
{{- with .first }}
{{ . }}
{{- end }}
{{- with .values.extraInitContainers }}
{{- include "kubetune.extra.containers" . }}
{{- end }}
{{- end -}}

{{/* kubetune.airflow.image: the lines image and imagePullPolicy. Argument: $. */}}
{{- define "kubetune.airflow.image" -}}
image: {{ include "kubetune.image" (dict "root" . "name" "airflow") }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end -}}

{{/* kubetune.airflow.annotations: lines of pod annotations. Arguments: dict "root" $ "values" <component>. */}}
{{- define "kubetune.airflow.annotations" -}}
{{- $ids := list "airflow" "database" -}}
{{- if include "kubetune.airflow.remoteLogs" .root }}{{ $ids = append $ids "store-logs" }}{{ end -}}
{{- include "kubetune.secretChecksum" (dict "root" .root "ids" $ids) }}
{{- with include "kubetune.checksum" (dict "root" .root "name" "cluster" "of" (include "kubetune.cluster" .root)) }}
{{ . }}
{{- end }}
{{- with .values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* kubetune.recipesConfigMap: name of the ConfigMap with recipes. Argument: $. */}}
{{- define "kubetune.recipesConfigMap" -}}
{{- .Values.recipes.existingConfigMap | default (include "kubetune.name" (dict "root" . "part" "recipes")) -}}
{{- end -}}

{{/* kubetune.probe: one probe of the values with its handler.
     Arguments: dict "name" "startup" "timing" <map> "handler" <map>. */}}
{{- define "kubetune.probe" -}}
{{ .name }}Probe:
  {{- merge (dict) .handler .timing | toYaml | nindent 2 }}
{{- end -}}
