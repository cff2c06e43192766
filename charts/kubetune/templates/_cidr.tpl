{{/*
Address blocks as strings of bits: one block lies in another where its string begins with the other's.
*/}}

{{/* kubetune.cidr.bits: family and leading bits of an address block, for example 4:00001010 for 10.0.0.0/8; nothing where
     it is none. Argument: the block. */}}
{{- define "kubetune.cidr.bits" -}}
{{- $address := first (splitList "/" .) -}}
{{- $length := last (splitList "/" .) | int -}}
{{- $bits := "" -}}
{{- if regexMatch `^[0-9]{1,3}(\.[0-9]{1,3}){3}/[0-9]+$` . -}}
{{- range splitList "." $address }}{{ $bits = printf "%s%08b" $bits (int .) }}{{ end -}}
4:{{ trunc $length $bits }}
{{- else if regexMatch `^[0-9a-fA-F:]+/[0-9]+$` . -}}
{{- $nibbles := dict "0" "0000" "1" "0001" "2" "0010" "3" "0011" "4" "0100" "5" "0101" "6" "0110" "7" "0111" "8" "1000" "9" "1001" "a" "1010" "b" "1011" "c" "1100" "d" "1101" "e" "1110" "f" "1111" -}}
{{- $halves := splitList "::" $address -}}
{{- $head := splitList ":" (first $halves) | compact -}}
{{- $tail := list -}}
{{- if gt (len $halves) 1 }}{{ $tail = splitList ":" (last $halves) | compact }}{{ end -}}
{{- $groups := $head -}}
{{- range until (max 0 (sub 8 (add (len $head) (len $tail))) | int) }}{{ $groups = append $groups "0" }}{{ end -}}
{{- range $group := concat $groups $tail -}}
{{- range $digit := splitList "" (printf "%4s" $group | replace " " "0" | lower) }}{{ $bits = printf "%s%s" $bits (get $nibbles $digit) }}{{ end -}}
{{- end -}}
6:{{ trunc $length $bits }}
{{- end -}}
{{- end -}}

{{/* kubetune.cidr.covered: "true" where blocks close all of another: one that holds it, or several that make it up.
     Arguments: dict "bits" <bits of the block> "by" <list of bits>. */}}
{{- define "kubetune.cidr.covered" -}}
{{- $whole := false -}}
{{- $parts := false -}}
{{- range .by -}}
{{- if hasPrefix . $.bits }}{{ $whole = true }}{{ else if hasPrefix $.bits . }}{{ $parts = true }}{{ end -}}
{{- end -}}
{{- if $whole -}}
true
{{- else if $parts -}}
{{- if and (include "kubetune.cidr.covered" (dict "bits" (printf "%s0" .bits) "by" .by)) (include "kubetune.cidr.covered" (dict "bits" (printf "%s1" .bits) "by" .by)) -}}
true
{{- end -}}
{{- end -}}
{{- end -}}

{{/* kubetune.cidr.open: JSON list of the private networks that blocks open as a part of something wider: not those that
     `except` closes, nor a block that names a private network or a part of it, which is a decision.
     Arguments: dict "cidrs" <list; empty: every address> "except" <list>. */}}
{{- define "kubetune.cidr.open" -}}
{{- $private := list "10.0.0.0/8" "172.16.0.0/12" "192.168.0.0/16" "100.64.0.0/10" "169.254.0.0/16" "fc00::/7" "fe80::/10" -}}
{{- $closed := list -}}
{{- /* An empty list is rendered as no block at all, and then an exception closes nothing. */ -}}
{{- if .cidrs }}{{ range .except }}{{ with include "kubetune.cidr.bits" . }}{{ $closed = append $closed . }}{{ end }}{{ end }}{{ end -}}
{{- $open := list -}}
{{- range $cidr := .cidrs | default (list "0.0.0.0/0" "::/0") -}}
{{- $wide := include "kubetune.cidr.bits" $cidr -}}
{{- range $network := $private -}}
{{- $bits := include "kubetune.cidr.bits" $network -}}
{{- if and $wide (ne $wide $bits) (hasPrefix $wide $bits) (not (include "kubetune.cidr.covered" (dict "bits" $bits "by" $closed))) }}{{ $open = append $open $network }}{{ end -}}
{{- end -}}
{{- end -}}
{{- $open | uniq | toJson -}}
{{- end -}}
