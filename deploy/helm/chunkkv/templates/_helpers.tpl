{{- define "chunkkv.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "chunkkv.fullname" -}}
{{- $name := include "chunkkv.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "chunkkv.selectorLabels" -}}
app.kubernetes.io/name: {{ include "chunkkv.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end -}}

{{- define "chunkkv.labels" -}}
{{ include "chunkkv.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "chunkkv.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "chunkkv.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "chunkkv.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default (printf "%s%s" $.Chart.AppVersion (ternary "-cuda" "" $.Values.gpu.enabled)) .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The bytes of "4GiB", "4Gi", "500MB" or a number. Longer units first: "4GiB" ends in "B" too. */}}
{{- define "chunkkv.bytes" -}}
{{- $text := toString . | replace " " "" -}}
{{- if kindIs "float64" . }}{{ $text = int64 . | toString }}{{ end -}}
{{- $text = trimSuffix "b" (lower $text) -}}
{{- $units := dict "ki" 1024 "mi" 1048576 "gi" 1073741824 "ti" 1099511627776
    "k" 1000 "m" 1000000 "g" 1000000000 "t" 1000000000000 -}}
{{- $unit := regexFind "[a-z]+$" $text -}}
{{- mulf (float64 (trimSuffix $unit $text)) (ternary (get $units $unit) 1 (hasKey $units $unit)) | int64 -}}
{{- end -}}
