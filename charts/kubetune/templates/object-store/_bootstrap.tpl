{{/* kubetune.bootstrapSpec: spec of the Job that makes bucket, users and policies; a changed key of a user runs it again.
     Only it and the server see the root keys. Argument: $. */}}
{{- define "kubetune.bootstrapSpec" -}}
{{- $c := .Values.objectStore.bundled.bootstrap -}}
{{- $users := include "kubetune.storeUsers" . | fromJsonArray -}}
{{- $ids := list "object-store-root" -}}
{{- range $users }}{{ $ids = append $ids (printf "store-%s" .) }}{{ end -}}
backoffLimit: {{ $c.backoffLimit }}
ttlSecondsAfterFinished: {{ $c.ttlSecondsAfterFinished }}
template:
  metadata:
    labels:
      {{- include "kubetune.podLabels" (dict "root" . "component" "bootstrap" "access" (list "object-store")) | nindent 6 }}
    annotations:
      {{- include "kubetune.secretChecksum" (dict "root" . "ids" $ids) | nindent 6 }}
      {{- /* What the policies name is written into the store: other recipes need another Job. */}}
      {{- if .Values.promotion.policies }}
      checksum/recipes: {{ .Values.recipes.inline | toJson | sha256sum }}
      {{- end }}
  spec:
    {{- include "kubetune.pod.common" (dict "root" . "account" "object-store" "values" .Values.objectStore.bundled) | nindent 4 }}
    restartPolicy: OnFailure
    containers:
      - name: bootstrap
        image: {{ include "kubetune.image" (dict "root" . "name" "deploy") }}
        imagePullPolicy: {{ .Values.image.pullPolicy }}
        args:
          - store
          - bootstrap
          - --users=/run/secrets/users
          {{- if include "kubetune.airflow.remoteLogs" . }}
          - --logs-bucket={{ include "kubetune.logsBucket" . }}
          - --logs-days={{ int .Values.airflow.logs.days }}
          {{- end }}
        {{- $plain := dict "HOME" "/tmp" "KUBETUNE_STORE" (include "kubetune.storeUrl" .) "KUBETUNE_S3_ENDPOINT" (include "kubetune.storeEndpoint" .) "KUBETUNE_S3_REGION" .Values.objectStore.region "KUBETUNE_STORE_DEADLINE_S" "300" }}
        {{- if .Values.promotion.policies }}{{ $_ := set $plain "KUBETUNE_POLICIES" (.Values.promotion.policies | toJson) }}{{ end }}
        {{- if .Values.global.caConfigMap }}{{ $_ := set $plain "KUBETUNE_CA_BUNDLE" "/etc/kubetune/ca/ca.crt" }}{{ end }}
        {{- include "kubetune.container.env" (dict "plain" $plain) | nindent 8 }}
        terminationMessagePolicy: FallbackToLogsOnError
        resources:
          {{- toYaml $c.resources | nindent 10 }}
        {{- include "kubetune.container.security" . | nindent 8 }}
        volumeMounts:
          - {name: root, mountPath: /run/secrets/kubetune, readOnly: true}
          - {name: users, mountPath: /run/secrets/users, readOnly: true}
          {{- include "kubetune.container.tmpMount" (dict) | nindent 10 }}
          {{- if .Values.promotion.policies }}
          - {name: recipes, mountPath: /etc/kubetune/recipes, readOnly: true}
          {{- end }}
          {{- if .Values.global.caConfigMap }}
          - {name: ca, mountPath: /etc/kubetune/ca, readOnly: true}
          {{- end }}
    volumes:
      {{- include "kubetune.pod.tmpVolume" (dict) | nindent 6 }}
      - name: root
        secret:
          secretName: {{ include "kubetune.secretName" (dict "root" . "id" "object-store-root") }}
          defaultMode: 0440
          items:
            - {key: root_user, path: kubetune_s3_access_key}
            - {key: root_password, path: kubetune_s3_secret_key}
      - name: users
        projected:
          defaultMode: 0440
          sources:
            {{- range $users }}
            - secret:
                name: {{ include "kubetune.secretName" (dict "root" $ "id" (printf "store-%s" .)) }}
                items:
                  - {key: kubetune_s3_access_key, path: {{ . }}/kubetune_s3_access_key}
                  - {key: kubetune_s3_secret_key, path: {{ . }}/kubetune_s3_secret_key}
            {{- end }}
      {{- if .Values.promotion.policies }}
      - name: recipes
        configMap:
          name: {{ include "kubetune.recipesConfigMap" . }}
      {{- end }}
      {{- if .Values.global.caConfigMap }}
      - name: ca
        configMap:
          name: {{ .Values.global.caConfigMap }}
      {{- end }}
{{- end -}}
