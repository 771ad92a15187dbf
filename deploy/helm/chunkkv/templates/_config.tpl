{{/* The server's configuration file: what the chart sets, then options. */}}
{{- define "chunkkv.config" -}}
{{- $set := dict
    "listen" (printf "0.0.0.0:%d" (int .Values.service.port))
    "admin-listen" (printf "0.0.0.0:%d" (int .Values.admin.port))
    "insecure-listen" .Values.insecureListen
    "grace-ms" (mul (sub (int .Values.terminationGracePeriodSeconds) 5) 1000) -}}
{{- if .Values.tls.existingSecret -}}
{{- $_ := set $set "tls-certificate" "/etc/chunkkv/tls/tls.crt" -}}
{{- $_ := set $set "tls-key" "/etc/chunkkv/tls/tls.key" -}}
{{- if .Values.tls.clientCertificates -}}
{{- $_ := set $set "tls-client-ca" "/etc/chunkkv/client-ca/ca.crt" -}}
{{- end -}}
{{- end -}}
{{- if .Values.tenants.existingSecret -}}
{{- $_ := set $set "tenants" "/etc/chunkkv/tenants/tenants.json" -}}
{{- end -}}
{{- if .Values.localSocket.enabled -}}
{{- $_ := set $set "local-socket" "/run/chunkkv/server.socket" -}}
{{- if .Values.localSocket.users -}}
{{- $_ := set $set "local-user" .Values.localSocket.users -}}
{{- end -}}
{{- $_ := set $set "map-entries" .Values.localSocket.mapEntries -}}
{{- end -}}
{{- $lines := list -}}
{{- range $name, $value := merge $set .Values.options -}}
{{- if kindIs "float64" $value -}}
{{- $value = int64 $value -}}
{{- else if not (kindIs "bool" $value) -}}
{{- $value = toJson $value -}}
{{- end -}}
{{- $lines = append $lines (printf "%s = %v" $name $value) -}}
{{- end -}}
{{- join "\n" $lines -}}
{{- end -}}
