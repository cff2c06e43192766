{{/* kubetune.schedulePod: pod template of a Job that submits a recipe to Airflow by REST, as a person would.
     Arguments: dict "root" $ "schedule" <entry of airflow.schedules>. */}}
{{- define "kubetune.schedulePod" -}}
{{- $v := .root.Values -}}
{{- $recipe := .schedule.recipe -}}
{{- if hasKey $v.recipes.inline $recipe }}{{ $recipe = printf "/etc/kubetune/recipes/%s.yaml" $recipe }}{{ end -}}
metadata:
  labels:
    {{- include "kubetune.podLabels" (dict "root" .root "component" "schedule" "access" (list "airflow")) | nindent 4 }}
spec:
  {{- include "kubetune.pod.common" (dict "root" .root "account" "airflow") | nindent 2 }}
  restartPolicy: Never
  containers:
    - name: submit
      image: {{ include "kubetune.image" (dict "root" .root "name" "deploy") }}
      imagePullPolicy: {{ $v.image.pullPolicy }}
      args:
        - submit
        - {{ $recipe | quote }}
        {{- range .schedule.overrides }}
        - {{ . | quote }}
        {{- end }}
        {{- with .schedule.endpoint }}
        - --endpoint
        - {{ . | quote }}
        {{- end }}
      {{- $plain := dict "HOME" "/tmp" "KUBETUNE_AIRFLOW_URL" (include "kubetune.apiServerUrl" .root) "KUBETUNE_RECIPES_DIR" "/etc/kubetune/recipes" }}
      {{- if $v.global.caConfigMap }}{{ $_ := set $plain "KUBETUNE_CA_BUNDLE" "/etc/kubetune/ca/ca.crt" }}{{ end }}
      {{- include "kubetune.container.env" (dict "plain" $plain) | nindent 6 }}
      terminationMessagePolicy: FallbackToLogsOnError
      resources:
        requests: {cpu: 10m, memory: 128Mi}
        limits: {cpu: "1", memory: 256Mi}
      {{- include "kubetune.container.security" .root | nindent 6 }}
      volumeMounts:
        {{- include "kubetune.container.tmpMount" (dict) | nindent 8 }}
        {{- include "kubetune.secretMount" (dict) | nindent 8 }}
        - {name: recipes, mountPath: /etc/kubetune/recipes, readOnly: true}
        {{- with include "kubetune.endpoint.caMount" .root }}
        {{- . | nindent 8 }}
        {{- end }}
  volumes:
    {{- include "kubetune.pod.tmpVolume" (dict) | nindent 4 }}
    {{- include "kubetune.secretVolume" (dict "root" .root "ids" (list "trigger")) | nindent 4 }}
    - name: recipes
      configMap:
        name: {{ include "kubetune.recipesConfigMap" .root }}
    {{- with $v.global.caConfigMap }}
    - name: ca
      configMap:
        name: {{ . }}
    {{- end }}
{{- end -}}
