{{/* The pod of either mode. */}}
{{- define "chunkkv.pod" -}}
metadata:
  labels:
    {{- include "chunkkv.selectorLabels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/config: {{ include "chunkkv.config" . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "chunkkv.serviceAccountName" . }}
  automountServiceAccountToken: false
  # Kubernetes would set CHUNKKV_PORT and the like, which are names of options.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  {{- if and .Values.gpu.enabled .Values.gpu.runtimeClassName }}
  runtimeClassName: {{ .Values.gpu.runtimeClassName }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if and (eq .Values.mode "statefulset") .Values.topologySpread }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: {{ .Values.topologySpread }}
      labelSelector:
        matchLabels:
          {{- include "chunkkv.selectorLabels" . | nindent 10 }}
  {{- end }}
  containers:
    - name: chunkkv
      image: {{ include "chunkkv.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [--config, /etc/chunkkv/config/server.toml]
      ports:
        - name: grpc
          containerPort: {{ .Values.service.port }}
        - name: admin
          containerPort: {{ .Values.admin.port }}
      startupProbe:
        httpGet: {path: /healthz, port: admin}
        periodSeconds: 2
        failureThreshold: 60
      livenessProbe:
        httpGet: {path: /healthz, port: admin}
        timeoutSeconds: 5
      readinessProbe:
        httpGet: {path: /readyz, port: admin}
        periodSeconds: 5
        timeoutSeconds: 5
      resources:
        {{- $resources := deepCopy .Values.resources }}
        {{- if .Values.gpu.enabled }}
        {{- $gpus := dict .Values.gpu.resourceName .Values.gpu.count }}
        {{- $resources = mergeOverwrite (dict "limits" dict) $resources (dict "limits" $gpus) }}
        {{- end }}
        {{- toYaml $resources | nindent 8 }}
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      volumeMounts:
        - name: config
          mountPath: /etc/chunkkv/config
          readOnly: true
        {{- if .Values.tls.existingSecret }}
        - name: tls
          mountPath: /etc/chunkkv/tls
          readOnly: true
        {{- if .Values.tls.clientCertificates }}
        - name: client-ca
          mountPath: /etc/chunkkv/client-ca
          readOnly: true
        {{- end }}
        {{- end }}
        {{- if .Values.tenants.existingSecret }}
        - name: tenants
          mountPath: /etc/chunkkv/tenants
          readOnly: true
        {{- end }}
        {{- if .Values.localSocket.enabled }}
        - name: local-socket
          mountPath: /run/chunkkv
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "chunkkv.fullname" . }}
    {{- if .Values.tls.existingSecret }}
    - name: tls
      secret:
        secretName: {{ .Values.tls.existingSecret }}
        defaultMode: 0440
        items:
          - {key: tls.crt, path: tls.crt}
          - {key: tls.key, path: tls.key}
    {{- if .Values.tls.clientCertificates }}
    - name: client-ca
      secret:
        secretName: {{ default .Values.tls.existingSecret .Values.tls.clientCaSecret }}
        defaultMode: 0440
        items:
          - {key: ca.crt, path: ca.crt}
    {{- end }}
    {{- end }}
    {{- if .Values.tenants.existingSecret }}
    - name: tenants
      secret:
        secretName: {{ .Values.tenants.existingSecret }}
        defaultMode: 0440
        items:
          - {key: tenants.json, path: tenants.json}
    {{- end }}
    {{- if .Values.localSocket.enabled }}
    - name: local-socket
      {{- toYaml .Values.localSocket.volume | nindent 6 }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
