{{/* kubetune.validate.edge: rules of serving, pipelines, network, gpu, monitoring and tests; prints one error a line.
     Argument: $. */}}
{{- define "kubetune.validate.edge" -}}
{{- end -}}
