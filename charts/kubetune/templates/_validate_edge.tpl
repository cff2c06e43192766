{{/* kubetune.validate.edge: rules of serving, pipelines, network, gpu, monitoring and tests; prints one error a line.
     Argument: $. */}}
{{- define "kubetune.validate.edge" -}}
{{- $v := .Values -}}
{{- $endpoints := include "kubetune.endpoints" . | fromJson }}
{{- range $name, $endpoint := $endpoints }}
{{- $path := printf "serving.endpoints.%s" $name }}
{{- $full := include "kubetune.endpoint.name" (dict "root" $ "endpoint" $name) }}
{{- /* The Secret of its keys has the longest of its names. */}}
{{- $longest := printf "%s-endpoint-keys-%s" (include "kubetune.fullname" $) $name }}
{{- if gt (len $longest) 63 }}
{{ $path }}: the name {{ $longest }} has {{ len $longest }} characters, 63 are allowed: shorten the endpoint's name or the release's.
{{- end }}
{{- if hasPrefix "token" $name }}
{{ $path }}: TorchServe mistakes a model whose name begins with "token" for its own requests: choose another name.
{{- end }}
{{- if and (or $v.serving.requireApiKeys $v.global.production) (not $endpoint.apiKeys.hashes) (not $endpoint.apiKeys.existingSecret) }}
{{ $path }} has no API keys, which {{ ternary "global.production" "serving.requireApiKeys" $v.global.production }} refuses: give apiKeys.hashes (name: SHA-256 in hex of the key) or apiKeys.existingSecret (key `keys`, lines name:sha256hex).
{{- end }}
{{- if and $endpoint.apiKeys.hashes $endpoint.apiKeys.existingSecret }}
{{ $path }}.apiKeys has both hashes and existingSecret: give one of them.
{{- end }}
{{- if hasKey $endpoint.podAnnotations "kubetune.io/archive" }}
{{ $path }}.podAnnotations holds kubetune.io/archive, which only the stage `deploy` writes: leave it out and deploy a run.
{{- end }}
{{- if and $endpoint.ingress.enabled (not $endpoint.ingress.host) }}
{{ $path }}.ingress.host is empty: give the host name under which people reach the endpoint.
{{- end }}
{{- if and $endpoint.httpRoute.enabled (not $endpoint.httpRoute.parentRefs) }}
{{ $path }}.httpRoute.parentRefs is empty: name the Gateway that the route belongs to.
{{- end }}
{{- if and $endpoint.autoscaling.enabled (gt (int $endpoint.autoscaling.minReplicas) (int $endpoint.autoscaling.maxReplicas)) }}
{{ $path }}.autoscaling: minReplicas {{ int $endpoint.autoscaling.minReplicas }} is above maxReplicas {{ int $endpoint.autoscaling.maxReplicas }}.
{{- end }}
{{- $rolling := $endpoint.strategy.rollingUpdate | default dict }}
{{- if and (eq $endpoint.strategy.type "RollingUpdate") (eq (toString $rolling.maxUnavailable) "0") (eq (toString $rolling.maxSurge) "0") }}
{{ $path }}.strategy: maxUnavailable and maxSurge are both 0, so that no rollout could begin: set one of them to 1.
{{- end }}
{{- $drain := 2 | mulf (get $endpoint.settings "KUBETUNE_GATEWAY_DRAIN_S" | default 5 | float64) | ceil | int }}
{{- if lt (include "kubetune.endpoint.shutdown" $endpoint | int) (max $drain 5) }}
{{ $path }}.terminationGracePeriodSeconds is {{ int $endpoint.terminationGracePeriodSeconds }}, which preStopSleepSeconds {{ int $endpoint.preStopSleepSeconds }} and the drain use up: make it {{ add (int $endpoint.preStopSleepSeconds) 5 (max $drain 5) }} or longer, so that requests in flight are answered.
{{- end }}
{{- $ready := int $v.serving.readyTimeoutSeconds }}
{{- $startup := mul (int $endpoint.probes.startup.periodSeconds) (int $endpoint.probes.startup.failureThreshold) | int }}
{{- if lt $startup $ready }}
{{ $path }}.probes.startup gives up after {{ $startup }} s, before serving.readyTimeoutSeconds {{ $ready }}, and the pod would be started again and again: raise failureThreshold.
{{- end }}
{{- if le (int $endpoint.progressDeadlineSeconds) $ready }}
{{ $path }}.progressDeadlineSeconds is {{ int $endpoint.progressDeadlineSeconds }}, no more than serving.readyTimeoutSeconds {{ $ready }}: make it longer, or a rollout counts as failed that `deploy` still waits for.
{{- end }}
{{- end }}
{{- if and $v.tests.endpoint (not (hasKey $endpoints $v.tests.endpoint)) }}
tests.endpoint is {{ $v.tests.endpoint }}; there {{ ternary "is" "are" (eq (len $endpoints) 1) }} {{ keys $endpoints | sortAlpha | join ", " | default "none" }}: name one of serving.endpoints.
{{- end }}
{{- if and $v.monitoring.serviceMonitor.enabled $v.monitoring.podMonitor.enabled }}
monitoring.serviceMonitor and monitoring.podMonitor are both enabled and would read every metric twice: enable one.
{{- end }}
{{- range $namespace := $v.pipelines.namespaces }}
{{- if hasPrefix "kube-" $namespace }}
pipelines.namespaces holds {{ $namespace }}, which belongs to Kubernetes: give a namespace of your own.
{{- end }}
{{- end }}
{{- end -}}
