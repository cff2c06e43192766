{{/* kubetune.cluster: cluster.yaml, the settings file of `kubetune.config.cluster`; a test reads it with that model.
     Argument: $. */}}
{{- define "kubetune.cluster" -}}
{{- $v := .Values -}}
{{- $p := $v.pipelines -}}
{{- $secrets := dict -}}
{{- range $user := include "kubetune.pipelineUsers" . | fromJsonArray -}}
{{- $own := include "kubetune.secretName" (dict "root" $ "id" (printf "store-%s" $user)) -}}
{{- $_ := set $secrets $user (concat (list $own) (get $p.secrets "default" | default list) (get $p.secrets $user | default list) | uniq) -}}
{{- end -}}
{{- $stages := dict -}}
{{- range $stage, $resources := $p.resources -}}
{{- $known := dict -}}
{{- range $key, $value := $resources }}{{ if ne (toString $value) "" }}{{ $_ := set $known $key (ternary $value (toString $value) (eq $key "timeout_minutes")) }}{{ end }}{{ end -}}
{{- with get $known "timeout_minutes" }}{{ $_ := set $known "timeout_minutes" (int .) }}{{ end -}}
{{- $_ := set $stages $stage $known -}}
{{- end -}}
{{- $priority := include "kubetune.priorityClassName" . -}}
release: {{ include "kubetune.fullname" . | quote }}
namespace: {{ include "kubetune.pipelineNamespaces" . | fromJsonArray | first | quote }}
images:
  registry: {{ $v.global.registry | quote }}
  repository: {{ $v.image.repository | quote }}
  tag: {{ $v.image.tag | default .Chart.AppVersion | quote }}
  digests: {{ $v.image.digests | toJson }}
  pull_policy: {{ $v.image.pullPolicy }}
  pull_secrets: {{ $v.global.pullSecrets | toJson }}
store:
  url: {{ include "kubetune.storeUrl" . | quote }}
  endpoint: {{ include "kubetune.storeEndpoint" . | quote }}
  region: {{ $v.objectStore.region | quote }}
serving:
  namespace: {{ .Release.Namespace | quote }}
  release: {{ include "kubetune.fullname" . | quote }}
  ready_timeout_s: {{ $v.serving.readyTimeoutSeconds }}
accounts:
  default: {{ include "kubetune.serviceAccountName" (dict "root" . "part" "stage") }}
  deploy: {{ include "kubetune.serviceAccountName" (dict "root" . "part" "deploy") }}
secrets: {{ $secrets | toJson }}
environment: {{ $p.environment | toJson }}
ca_config_map: {{ $v.global.caConfigMap | default nil | toJson }}
signing_secret: {{ $v.signing.existingSecret | default nil | toJson }}
trusted_secret: {{ $v.signing.trustedSecret | default nil | toJson }}
stages: {{ $stages | toJson }}
gpu:
  resource: {{ $v.gpu.resource | quote }}
  tolerations: {{ $v.gpu.tolerations | toJson }}
  node_selector: {{ $v.gpu.nodeSelector | toJson }}
  runtime_class: {{ $v.gpu.runtimeClass | default nil | toJson }}
  shared_memory: {{ $v.gpu.sharedMemory | quote }}
scheduling:
  node_selector: {{ $p.nodeSelector | toJson }}
  tolerations: {{ $p.tolerations | toJson }}
  priority_class: {{ $priority | default nil | toJson }}
policies:
  endpoints: {{ $v.promotion.policies | toJson }}
machine_users: {{ list $v.airflow.auth.trigger.username | toJson }}
approval_timeout_minutes: {{ int $p.approvalTimeoutMinutes }}
labels: {{ merge (dict) $p.labels $v.global.labels | toJson }}
annotations: {{ $p.annotations | toJson }}
{{- end -}}
