{{/*
Rules of airflow.schedules and recipes.inline: what the clock starts at night must not fail for a typing error.
files/recipes.json, made of the package, says which recipes are shipped and which sections a recipe has.
*/}}

{{/* kubetune.validate.schedules: prints one error a line. Argument: $. */}}
{{- define "kubetune.validate.schedules" -}}
{{- $known := .Files.Get "files/recipes.json" | fromJson -}}
{{- $v := .Values -}}
{{- $names := dict -}}
{{- range $name, $text := $v.recipes.inline }}
{{- $recipe := fromYaml $text }}
{{- if hasKey $recipe "Error" }}
recipes.inline.{{ $name }} is no YAML mapping ({{ $recipe.Error | replace "\n" " " | trunc 200 }}): correct the text.
{{- else }}
{{- $_ := set $names $name (toString $recipe.name) }}
{{- range $section := keys $recipe | sortAlpha }}{{ if not (has $section $known.sections) }}
recipes.inline.{{ $name }} has a section {{ $section }}, which no recipe has: there are {{ join ", " $known.sections }}.
{{- end }}{{ end }}
{{- range $section := $known.required }}{{ if not (hasKey $recipe $section) }}
recipes.inline.{{ $name }} lacks {{ $section }}: a recipe needs {{ join ", " $known.required }} (`kubetune recipes tweets` prints one to start from).
{{- end }}{{ end }}
{{- end }}
{{- end }}
{{- range $name, $schedule := $v.airflow.schedules }}
{{- $path := printf "airflow.schedules.%s" $name }}
{{- with include "kubetune.cron.fault" $schedule.cron | trim }}
{{ $path }}.cron is {{ $schedule.cron | quote }}: {{ . }}.
{{- end }}
{{- with include "kubetune.timeZone.fault" ($schedule.timeZone | default "") | trim }}
{{ $path }}.timeZone is {{ $schedule.timeZone | quote }}: {{ . }}.
{{- end }}
{{- $recipe := $schedule.recipe }}
{{- $shipped := has $recipe $known.shipped }}
{{- if hasKey $v.recipes.inline $recipe }}
{{- include "kubetune.validate.scheduled" (dict "root" $ "path" $path "schedule" $schedule "own" (get $names $recipe)) }}
{{- else if $shipped }}
{{- include "kubetune.validate.scheduled" (dict "root" $ "path" $path "schedule" $schedule "own" $recipe) }}
{{- else if $v.recipes.existingConfigMap }}
{{- include "kubetune.validate.scheduled" (dict "root" $ "path" $path "schedule" $schedule "own" "") }}
{{- else }}
{{ $path }}.recipe is {{ $recipe }}, which is neither shipped nor one of recipes.inline: there are {{ concat $known.shipped (keys $v.recipes.inline) | sortAlpha | join ", " }}.
{{- end }}
{{- end }}
{{- end -}}

{{/* kubetune.validate.scheduled: a run that the clock starts deploys to an endpoint that is there.
     Arguments: dict "root" $ "path" <of the values> "schedule" <entry> "own" <the recipe's own name; empty: not known>. */}}
{{- define "kubetune.validate.scheduled" -}}
{{- $endpoint := .schedule.endpoint | default .own -}}
{{- if not .schedule.endpoint -}}
{{- range .schedule.overrides }}{{ if hasPrefix "name=" . }}{{ $endpoint = trimPrefix "name=" . }}{{ end }}{{ end -}}
{{- end -}}
{{- if and $endpoint (not (hasKey .root.Values.serving.endpoints $endpoint)) }}
{{ .path }} deploys to endpoint {{ $endpoint }}{{ if not .schedule.endpoint }}, the recipe's own name{{ end }}; there {{ ternary "is" "are" (eq (len .root.Values.serving.endpoints) 1) }} {{ keys .root.Values.serving.endpoints | sortAlpha | join ", " | default "none" }}: add it to serving.endpoints, or name one of them in {{ .path }}.endpoint.
{{- end }}
{{- end -}}

{{/* kubetune.timeZone.fault: what is wrong with a time zone, or nothing. Unknown zones are found with the time zones of
     the machine that renders; where it has none, nothing is said. Argument: the zone; empty: the cluster's. */}}
{{- define "kubetune.timeZone.fault" -}}
{{- $utc := list "UTC" "Etc/UTC" "UCT" "Etc/UCT" "Universal" "Etc/Universal" "Zulu" "Etc/Zulu" -}}
{{- if eq (lower .) "local" -}}
Kubernetes takes no zone that depends on the machine, name one such as Europe/Berlin
{{- else if and . (not (has . $utc)) (ne (dateInZone "MST" now "America/New_York") "UTC") (eq (dateInZone "MST" now .) "UTC") -}}
there is no such time zone, name one of the IANA database such as Europe/Berlin
{{- end -}}
{{- end -}}

{{/* kubetune.cron.fault: what is wrong with a schedule by Kubernetes' rules, or nothing. Argument: the text. */}}
{{- define "kubetune.cron.fault" -}}
{{- $macros := list "@yearly" "@annually" "@monthly" "@weekly" "@daily" "@midnight" "@hourly" -}}
{{- $months := list "jan" "feb" "mar" "apr" "may" "jun" "jul" "aug" "sep" "oct" "nov" "dec" -}}
{{- $days := list "sun" "mon" "tue" "wed" "thu" "fri" "sat" -}}
{{- $fields := regexSplit `\s+` (trim .) -1 -}}
{{- if regexMatch `^(CRON_)?TZ=` (trim .) -}}
Kubernetes takes no zone in it, give timeZone
{{- else if hasPrefix "@" . -}}
{{- if not (or (has . $macros) (regexMatch `^@every ([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$` .)) -}}
there are {{ join ", " $macros }} and @every with a duration
{{- end -}}
{{- else if ne (len $fields) 5 -}}
it has {{ len $fields }} field{{ if ne (len $fields) 1 }}s{{ end }}, and minute, hour, day of month, month and day of week are 5
{{- else -}}
{{- $rules := list (dict "name" "minute" "least" 0 "most" 59) (dict "name" "hour" "least" 0 "most" 23) (dict "name" "day of month" "least" 1 "most" 31) (dict "name" "month" "least" 1 "most" 12 "words" $months) (dict "name" "day of week" "least" 0 "most" 6 "words" $days) -}}
{{- $faults := list -}}
{{- range $at, $rule := $rules -}}
{{- range $part := splitList "," (index $fields $at) -}}
{{- with include "kubetune.cron.partFault" (merge (dict "part" (lower $part)) $rule) | trim }}{{ $faults = append $faults . }}{{ end -}}
{{- end -}}
{{- end -}}
{{- $faults | uniq | join ", and " -}}
{{- end -}}
{{- end -}}

{{/* kubetune.cron.partFault: what is wrong with one part of a field, or nothing.
     Arguments: dict "part" "1-5/2" "name" "hour" "least" 0 "most" 23 "words" <list of names; optional>. */}}
{{- define "kubetune.cron.partFault" -}}
{{- $words := .words | default list -}}
{{- $value := `([0-9]{1,4}|[a-z]{3})` -}}
{{- $allowed := printf "%d to %d" (int .least) (int .most) -}}
{{- if not (regexMatch (printf `^((\*|\?)|%s(-%s)?)(/[0-9]{1,4})?$` $value $value) .part) -}}
{{ .name }} {{ .part | quote }} cannot be read, allowed are {{ $allowed }}, *, lists, ranges and steps
{{- else -}}
{{- $range := first (splitList "/" .part) -}}
{{- $ends := list -}}
{{- if not (has $range (list "*" "?")) -}}
{{- range $end := splitList "-" $range -}}
{{- if regexMatch `^[0-9]+$` $end }}{{ $ends = append $ends (regexReplaceAll `^0+([0-9])` $end "$1" | int) -}}
{{- else -}}
{{- $found := -1 -}}
{{- range $at, $word := $words }}{{ if eq $word $end }}{{ $found = add $at (int $.least) }}{{ end }}{{ end -}}
{{- $ends = append $ends (int $found) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $bad := false -}}
{{- range $ends }}{{ if or (lt . (int $.least)) (gt . (int $.most)) }}{{ $bad = true }}{{ end }}{{ end -}}
{{- if $bad -}}
{{ .name }} {{ .part | quote }} is out of {{ $allowed }}{{ with $words }} or {{ first . }} to {{ last . }}{{ end }}
{{- else if and (eq (len $ends) 2) (gt (first $ends) (last $ends)) -}}
{{ .name }} {{ .part | quote }} ends before it begins
{{- else if regexMatch `/0+$` .part -}}
{{ .name }} {{ .part | quote }} has a step of 0
{{- end -}}
{{- end -}}
{{- end -}}
