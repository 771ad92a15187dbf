{{/* What a schema cannot say. Each message names the values that it is about. */}}
{{- define "chunkkv.validate" -}}
{{- $values := .Values -}}
{{- $daemonset := eq $values.mode "daemonset" -}}
{{- if and (not $values.tls.existingSecret) (not $values.insecureListen) -}}
{{- fail "\n\ntls.existingSecret is empty: name a secret with tls.crt, tls.key and ca.crt, or set insecureListen=true to serve without TLS.\n" -}}
{{- end -}}
{{- if and $values.tls.existingSecret (not $values.tls.clientCertificates) (not $values.insecureListen) -}}
{{- fail "\n\ntls.clientCertificates is false: clients without certificates are served only with insecureListen=true.\n" -}}
{{- end -}}
{{- if and $values.localSocket.enabled (not $daemonset) -}}
{{- fail "\n\nlocalSocket.enabled needs mode=daemonset: the socket is for pods of the same node.\n" -}}
{{- end -}}
{{- if and $values.localSocket.mapEntries (not $values.localSocket.enabled) -}}
{{- fail "\n\nlocalSocket.mapEntries needs localSocket.enabled=true.\n" -}}
{{- end -}}
{{- if and $daemonset (ne (int $values.replicas) 1) -}}
{{- fail "\n\nreplicas is for mode=statefulset: a daemonset has one pod a node.\n" -}}
{{- end -}}
{{- if eq (int $values.service.port) (int $values.admin.port) -}}
{{- fail "\n\nservice.port and admin.port must differ.\n" -}}
{{- end -}}
{{- $device := default "auto" $values.options.device -}}
{{- if and $values.gpu.enabled (eq $device "cpu") -}}
{{- fail "\n\noptions.device is cpu, and gpu.enabled asks for a GPU: set gpu.enabled=false (values-cpu.yaml does).\n" -}}
{{- end -}}
{{- if and (not $values.gpu.enabled) (hasPrefix "cuda" $device) -}}
{{- fail (printf "\n\noptions.device is %s, and no GPU is asked for: set gpu.enabled=true.\n" $device) -}}
{{- end -}}
{{- $limit := dig "limits" "memory" "" $values.resources -}}
{{- if $limit -}}
{{- $host := include "chunkkv.bytes" (default "4GiB" (get $values.options "host-memory")) | int64 -}}
{{- if lt (include "chunkkv.bytes" $limit | int64) (div (mul $host 5) 4) -}}
{{- fail (printf "\n\nresources.limits.memory (%v) must exceed options.host-memory (%v) by a quarter, or the pod is killed when the store fills.\n" $limit (default "4GiB" (get $values.options "host-memory"))) -}}
{{- end -}}
{{- end -}}
{{- end -}}
