{{/*
What the cluster itself knows, where a render can ask it (install, upgrade, --dry-run=server): immutable fields of existing
objects, and Secrets and ConfigMaps that are named and not there.
*/}}

{{/* kubetune.live: "true" where a namespace exists and the cluster can be asked: Kubernetes gives each namespace this
     account. Arguments: dict "namespace" <name>. */}}
{{- define "kubetune.live" -}}
{{- if lookup "v1" "ServiceAccount" .namespace "default" }}true{{ end -}}
{{- end -}}

{{/* kubetune.validate.live: prints one error a line. Argument: $. */}}
{{- define "kubetune.validate.live" -}}
{{- if eq .Values.objectStore.mode "bundled" }}
{{ include "kubetune.live.set" (dict "root" . "part" "object-store" "path" "objectStore.bundled.persistence" "values" .Values.objectStore.bundled.persistence) }}
{{- end }}
{{- if eq .Values.database.mode "bundled" }}
{{ include "kubetune.live.set" (dict "root" . "part" "database" "path" "database.bundled.persistence" "values" .Values.database.bundled.persistence) }}
{{- end }}
{{- if .Values.pipelines.priorityClass.create }}
{{ include "kubetune.live.priorityClass" . }}
{{- end }}
{{- if and .Values.secrets.checkExisting (include "kubetune.live" (dict "namespace" .Release.Namespace)) }}
{{ include "kubetune.live.named" . }}
{{ include "kubetune.live.recipes" . }}
{{- end }}
{{- end -}}

{{/* kubetune.live.set: a StatefulSet's volume and policy are what they were made with.
     Arguments: dict "root" $ "part" "database" "path" <of the values> "values" <size, storageClass>. */}}
{{- define "kubetune.live.set" -}}
{{- $name := include "kubetune.name" . -}}
{{- $namespace := .root.Release.Namespace -}}
{{- with lookup "apps/v1" "StatefulSet" $namespace $name -}}
{{- $again := printf "kubectl --namespace %s delete statefulset %s --cascade=orphan (its pod and its volume stay), then upgrade again" $namespace $name -}}
{{- if ne (.spec.podManagementPolicy | default "OrderedReady") "Parallel" }}
StatefulSet {{ $name }} was made with podManagementPolicy {{ .spec.podManagementPolicy | default "OrderedReady" }}, under which no rollback replaces a pod that cannot start, and the field is immutable: {{ $again }}.
{{- end }}
{{- range $claim := .spec.volumeClaimTemplates }}
{{- $size := $claim.spec.resources.requests.storage }}
{{- if include "kubetune.exceeds" (dict "this" $.values.size "that" $size) }}
{{ $.path }}.size is {{ $.values.size }} and the volume of StatefulSet {{ $name }} was made with {{ $size }}, which is immutable: set it back, or to grow, where the storage class allows it, kubectl --namespace {{ $namespace }} patch persistentvolumeclaim {{ $claim.metadata.name }}-{{ $name }}-0 --patch '{"spec":{"resources":{"requests":{"storage":"{{ $.values.size }}"}}}}' and {{ $again }}.
{{- else if include "kubetune.exceeds" (dict "this" $size "that" $.values.size) }}
{{ $.path }}.size is {{ $.values.size }} and the volume of StatefulSet {{ $name }} was made with {{ $size }}: a volume does not shrink, set it back.
{{- end }}
{{- if ne ($claim.spec.storageClassName | default "") $.values.storageClass }}
{{ $.path }}.storageClass is {{ $.values.storageClass | default "empty" }} and the volume of StatefulSet {{ $name }} was made with {{ $claim.spec.storageClassName | default "none" }}, which is immutable: set it back, or restore a backup into a new release.
{{- end }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* kubetune.priorityClassName: name of the class of stage pods, or nothing. Argument: $. */}}
{{- define "kubetune.priorityClassName" -}}
{{- $class := .Values.pipelines.priorityClass -}}
{{- $class.name | default (ternary (include "kubetune.name" (dict "root" . "part" "stage")) "" $class.create) -}}
{{- end -}}

{{/* kubetune.live.priorityClass: a class belongs to the cluster, and its value is immutable. Who makes one may read
     them; `create: false` asks for no right beyond the namespace. Argument: $. */}}
{{- define "kubetune.live.priorityClass" -}}
{{- $class := .Values.pipelines.priorityClass -}}
{{- $name := include "kubetune.priorityClassName" . -}}
{{- with lookup "scheduling.k8s.io/v1" "PriorityClass" "" $name -}}
{{- $owner := .metadata.annotations | default dict -}}
{{- $value := int .value -}}
{{- if or (ne (get $owner "meta.helm.sh/release-name") $.Release.Name) (ne (get $owner "meta.helm.sh/release-namespace") $.Release.Namespace) }}
PriorityClass {{ $name }} (value {{ $value }}) is there and is not of this release: set pipelines.priorityClass.create=false and name={{ $name }} to use it, or give another name.
{{- else if or (ne $value (int $class.value)) (ne (.preemptionPolicy | default "PreemptLowerPriority") $class.preemptionPolicy) }}
pipelines.priorityClass is {{ int $class.value }}, {{ $class.preemptionPolicy }} and PriorityClass {{ $name }} was made with {{ $value }}, {{ .preemptionPolicy | default "PreemptLowerPriority" }}, which is immutable: set it back, or give another name; pods of runs under way keep the former class, which stays.
{{- end }}
{{- end -}}
{{- end -}}

{{/* kubetune.live.named: whatever is named is there, with its keys. Argument: $. */}}
{{- define "kubetune.live.named" -}}
{{- $missing := dict -}}
{{- $seen := dict -}}
{{- range $item := include "kubetune.named" . | fromJsonArray }}
{{- $id := printf "%s %s %s" $item.namespace $item.kind $item.name }}
{{- if not (hasKey $seen $id) }}{{ $_ := set $seen $id (lookup "v1" $item.kind $item.namespace $item.name | default dict) }}{{ end }}
{{- $live := get $seen $id }}
{{- if not $live }}
{{- $line := printf "%s %s (%s)" $item.kind $item.name $item.path }}
{{- $_ := set $missing $item.namespace (append (get $missing $item.namespace | default list) $line | uniq) }}
{{- else }}
{{- $lacks := list }}
{{- range $item.keys }}{{ if not (hasKey ($live.data | default dict) .) }}{{ $lacks = append $lacks . }}{{ end }}{{ end }}
{{- with $lacks }}
{{ $item.kind }} {{ $item.name }} in namespace {{ $item.namespace }} has no key {{ join ", " . }}, which {{ $item.path }} needs: add it.
{{- end }}
{{- with $item.url }}
{{- $sslMode := regexFind `[?&]sslmode=[a-z-]+` (get ($live.data | default dict) . | b64dec) | regexFind `[a-z-]+$` }}
{{- if and (include "kubetune.strict" (dict "root" $ "rule" "databaseWithoutTls")) (not (has $sslMode (list "require" "verify-ca" "verify-full"))) }}
{{ $item.kind }} {{ $item.name }} holds a connection with sslmode {{ $sslMode | default "prefer, since none is given" }}: it may be in plain text, which global.production refuses: add ?sslmode=verify-full (or verify-ca, require), {{ include "kubetune.production.unless" "databaseWithoutTls" }}.
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- range $namespace, $lines := $missing }}
{{- if include "kubetune.live" (dict "namespace" $namespace) }}
Namespace {{ $namespace }} lacks {{ join ", " $lines }}: make {{ ternary "it" "them" (eq (len $lines) 1) }} first, or set secrets.checkExisting=false where something makes {{ ternary "it" "them" (eq (len $lines) 1) }} after the release.
{{- else }}
pipelines.namespaces holds {{ $namespace }}, which the cluster does not have: make it, with {{ join ", " $lines }} in it.
{{- end }}
{{- end }}
{{- end -}}

{{/* kubetune.live.recipes: a recipe of a schedule is in the ConfigMap that is named. Argument: $. */}}
{{- define "kubetune.live.recipes" -}}
{{- with .Values.recipes.existingConfigMap }}
{{- with lookup "v1" "ConfigMap" $.Release.Namespace . }}
{{- $there := .data | default dict }}
{{- $shipped := ($.Files.Get "files/recipes.json" | fromJson).shipped }}
{{- range $name, $schedule := $.Values.airflow.schedules }}
{{- if not (or (has $schedule.recipe $shipped) (hasKey $there (printf "%s.yaml" $schedule.recipe))) }}
airflow.schedules.{{ $name }}.recipe is {{ $schedule.recipe }}, which is neither shipped nor in ConfigMap {{ $.Values.recipes.existingConfigMap }}: it has {{ keys $there | sortAlpha | join ", " | default "no key" }}.
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
