{{/*
Quantities and shares as numbers, so that values can be compared.
*/}}

{{/* kubetune.quantity: a Kubernetes quantity (500m, 1.5, 2Gi) as a plain number, or nothing where it is none.
     Argument: the quantity, text or number. */}}
{{- define "kubetune.quantity" -}}
{{- $units := dict "" 1.0 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 "Ei" 1152921504606846976.0 -}}
{{- if kindIs "string" . -}}
{{- $unit := regexFind "[a-zA-Z]*$" . -}}
{{- $number := trimSuffix $unit . -}}
{{- if and (regexMatch `^[0-9]+(\.[0-9]+)?$` $number) (hasKey $units $unit) -}}
{{ printf "%f" (mulf (float64 $number) (get $units $unit)) }}
{{- end -}}
{{- else if not (kindIs "invalid" .) -}}
{{ printf "%f" (float64 .) }}
{{- end -}}
{{- end -}}

{{/* kubetune.exceeds: "true" where one quantity is above another; nothing where one of them is none.
     Arguments: dict "this" <quantity> "that" <quantity>. */}}
{{- define "kubetune.exceeds" -}}
{{- $this := include "kubetune.quantity" .this -}}
{{- $that := include "kubetune.quantity" .that -}}
{{- if and $this $that }}{{ if gt (float64 $this) (float64 $that) }}true{{ end }}{{ end -}}
{{- end -}}

{{/* kubetune.share: how many of some pods a number or a percentage means, rounded up as Kubernetes does.
     Arguments: dict "of" <pods> "bound" <number or percent>. */}}
{{- define "kubetune.share" -}}
{{- if and (kindIs "string" .bound) (hasSuffix "%" .bound) -}}
{{ div (add (mul (int .of) (trimSuffix "%" .bound | int)) 99) 100 }}
{{- else -}}
{{ int .bound }}
{{- end -}}
{{- end -}}
