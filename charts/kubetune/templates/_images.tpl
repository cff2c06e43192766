{{/*
Images: {registry/}{repository}/{name}:{tag}, where a digest beats the tag.
*/}}

{{/* kubetune.image: reference of one of our images. Arguments: dict "root" $ "name" "train". */}}
{{- define "kubetune.image" -}}
{{- $image := .root.Values.image -}}
{{- $path := list .root.Values.global.registry $image.repository .name | compact | join "/" -}}
{{- $digest := get $image.digests .name -}}
{{- if $digest -}}
{{ $path }}@{{ $digest }}
{{- else -}}
{{ $path }}:{{ $image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* kubetune.foreignImage: reference of an image that is not ours, below the same registry.
     Arguments: dict "root" $ "image" "postgres:15-bookworm" (or name@sha256:…). */}}
{{- define "kubetune.foreignImage" -}}
{{- list .root.Values.global.registry .image | compact | join "/" -}}
{{- end -}}

{{/* kubetune.pullSecrets: the pod's `imagePullSecrets` block, or nothing. Argument: $. */}}
{{- define "kubetune.pullSecrets" -}}
{{- with .Values.global.pullSecrets -}}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end -}}
{{- end -}}
