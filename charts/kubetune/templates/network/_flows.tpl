{{/*
Pods say what they may reach by labels kubetune.io/access-<what>; a policy selects the label. A selector copied from
somebody else's labels would silently select nothing, so a test wants each of ours to match a pod that is rendered.
*/}}

{{/* kubetune.network.head: a policy up to its podSelector.
     Arguments: dict "root" $ "part" "allow-dns" "namespace" <name> "selector" <map of labels>. */}}
{{- define "kubetune.network.head" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "kubetune.name" . }}
  namespace: {{ .namespace }}
  labels:
    {{- include "kubetune.labels" (dict "root" .root "component" "network") | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      app.kubernetes.io/name: kubetune
      app.kubernetes.io/instance: {{ .root.Release.Name }}
      {{- with .selector }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
{{- end -}}

{{/* kubetune.network.namespaces: JSON list of the release's namespace and those of its pipelines. Argument: $. */}}
{{- define "kubetune.network.namespaces" -}}
{{- concat (list .Release.Namespace) (include "kubetune.pipelineNamespaces" . | fromJsonArray) | uniq | toJson -}}
{{- end -}}

{{/* kubetune.network.peer: one entry of `from` or `to`: pods of the release with these labels in these namespaces.
     Arguments: dict "root" $ "namespaces" <list> "labels" <map>. */}}
{{- define "kubetune.network.peer" -}}
- namespaceSelector:
    matchExpressions:
      - key: kubernetes.io/metadata.name
        operator: In
        values: {{ .namespaces | toJson }}
  podSelector:
    matchLabels:
      app.kubernetes.io/name: kubetune
      app.kubernetes.io/instance: {{ .root.Release.Name }}
      {{- toYaml .labels | nindent 6 }}
{{- end -}}

{{/* kubetune.network.blocks: the lines `to` and `ports` of a rule towards addresses; no block means any address.
     Arguments: dict "cidrs" <list> "except" <list; optional> "ports" <list; empty: all>. */}}
{{- define "kubetune.network.blocks" -}}
{{- $rule := dict -}}
{{- $except := .except | default list -}}
{{- $blocks := list -}}
{{- range $cidr := .cidrs -}}
{{- $block := dict "cidr" $cidr -}}
{{- $inside := list -}}
{{- /* An exception that is no part of the block would be refused by the API server. */ -}}
{{- $whole := include "kubetune.cidr.bits" $cidr -}}
{{- range $except }}{{ $part := include "kubetune.cidr.bits" . }}{{ if and (hasPrefix $whole $part) (ne $whole $part) }}{{ $inside = append $inside . }}{{ end }}{{ end -}}
{{- if $inside }}{{ $_ := set $block "except" $inside }}{{ end -}}
{{- $blocks = append $blocks (dict "ipBlock" $block) -}}
{{- end -}}
{{- if $blocks }}{{ $_ := set $rule "to" $blocks }}{{ end -}}
{{- $ports := list -}}
{{- range .ports }}{{ $ports = append $ports (dict "port" (int .) "protocol" "TCP") }}{{ end -}}
{{- if $ports }}{{ $_ := set $rule "ports" $ports }}{{ end -}}
{{- list $rule | toYaml -}}
{{- end -}}

{{/* kubetune.network.storePort: port of an external object store, from its address. Argument: $. */}}
{{- define "kubetune.network.storePort" -}}
{{- $url := urlParse .Values.objectStore.endpoint -}}
{{- regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (ternary "443" "80" (eq $url.scheme "https")) -}}
{{- end -}}

{{/* kubetune.network.published: `from` peers of what people outside the release may call, or nothing for everyone.
     Arguments: dict "root" $ "peers" <list of the release's own peers as text>. */}}
{{- define "kubetune.network.published" -}}
{{- with .root.Values.network.ingressFrom -}}
from:
  {{- toYaml . | nindent 2 }}
  {{- with $.root.Values.network.metricsFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- range $.peers }}
  {{- . | nindent 2 }}
  {{- end }}
{{- end -}}
{{- end -}}

{{/* kubetune.network.kubernetesApi: entries of `egress` towards the Kubernetes API. Argument: $. */}}
{{- define "kubetune.network.kubernetesApi" -}}
{{- $api := .Values.network.kubernetesApi -}}
{{- $rules := list -}}
{{- if $api.discover -}}
{{- range $subset := (lookup "v1" "Endpoints" "default" "kubernetes" | default dict).subsets -}}
{{- $cidrs := list -}}
{{- range $subset.addresses }}{{ $cidrs = append $cidrs (printf "%s/%s" .ip (ternary "128" "32" (contains ":" .ip))) }}{{ end -}}
{{- $ports := list -}}
{{- range $subset.ports }}{{ $ports = append $ports .port }}{{ end -}}
{{- $rules = concat $rules (include "kubetune.network.blocks" (dict "cidrs" $cidrs "ports" $ports) | fromYamlArray) -}}
{{- end -}}
{{- with lookup "v1" "Service" "default" "kubernetes" -}}
{{- /* Some plugins judge before address translation. */ -}}
{{- $cidr := printf "%s/%s" .spec.clusterIP (ternary "128" "32" (contains ":" .spec.clusterIP)) -}}
{{- $rules = concat $rules (include "kubetune.network.blocks" (dict "cidrs" (list $cidr) "ports" (list 443)) | fromYamlArray) -}}
{{- end -}}
{{- end -}}
{{- if or $api.cidrs (not $rules) -}}
{{- $rules = concat $rules (include "kubetune.network.blocks" $api | fromYamlArray) -}}
{{- end -}}
{{- toYaml $rules -}}
{{- end -}}
