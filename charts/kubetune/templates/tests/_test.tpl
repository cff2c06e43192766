{{/* kubetune.test.pod: one pod of `helm test`, gone when it succeeded, and before the next try.
     Arguments: dict "root" $ "part" "test-store" "access" <list> "args" <list> "plain" <variables>
     "volumes" <text> "mounts" <text> "image" "tracking" (default ingest) "command" <list; optional>. */}}
{{- define "kubetune.test.pod" -}}
apiVersion: v1
kind: Pod
metadata:
  name: {{ include "kubetune.name" (dict "root" .root "part" .part) }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "kubetune.podLabels" (dict "root" .root "component" "test" "access" .access) | nindent 4 }}
  annotations:
    helm.sh/hook: test
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  {{- include "kubetune.pod.common" (dict "root" .root "account" "test") | nindent 2 }}
  restartPolicy: Never
  activeDeadlineSeconds: 300
  containers:
    - name: check
      image: {{ include "kubetune.image" (dict "root" .root "name" (.image | default "ingest")) }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      {{- with .command }}
      command:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      args:
        {{- toYaml .args | nindent 8 }}
      {{- $plain := merge (dict "HOME" "/tmp" "KUBETUNE_OFFLINE" "true") .plain }}
      {{- if .root.Values.global.caConfigMap }}
      {{- $_ := set $plain "KUBETUNE_CA_BUNDLE" "/etc/kubetune/ca/ca.crt" }}
      {{- end }}
      {{- include "kubetune.container.env" (dict "plain" $plain) | nindent 6 }}
      {{- include "kubetune.container.security" .root | nindent 6 }}
      resources:
        {{- toYaml .root.Values.tests.resources | nindent 8 }}
      terminationMessagePolicy: FallbackToLogsOnError
      volumeMounts:
        {{- include "kubetune.container.tmpMount" .root | nindent 8 }}
        {{- with .mounts }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- with include "kubetune.endpoint.caMount" .root }}
        {{- . | nindent 8 }}
        {{- end }}
  volumes:
    {{- include "kubetune.pod.tmpVolume" dict | nindent 4 }}
    {{- with .volumes }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with .root.Values.global.caConfigMap }}
    - name: ca
      configMap:
        name: {{ . }}
    {{- end }}
{{- end -}}
