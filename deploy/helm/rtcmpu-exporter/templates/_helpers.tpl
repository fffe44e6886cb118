{{- define "rtcmpu-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "rtcmpu-exporter.fullname" -}}
{{- $name := include "rtcmpu-exporter.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "rtcmpu-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "rtcmpu-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* An object's labels, each once. Takes a list of the root and, for some objects, labels of their own. */}}
{{- define "rtcmpu-exporter.labels" -}}
{{- with first . }}
{{- $ours := dict "app.kubernetes.io/version" .Chart.AppVersion "app.kubernetes.io/managed-by" .Release.Service }}
{{- $_ := set $ours "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") }}
{{- $selected := include "rtcmpu-exporter.selectorLabels" . | fromYaml }}
{{- toYaml (merge $selected $ours (rest $ | first | default dict | deepCopy) .Values.commonLabels) }}
{{- end }}
{{- end }}

{{- define "rtcmpu-exporter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "rtcmpu-exporter.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "rtcmpu-exporter.image" -}}
{{- with .Values.image.registry }}{{ . }}/{{ end }}
{{- .Values.image.repository }}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ default .Chart.AppVersion .Values.image.tag }}{{ end }}
{{- end }}

{{/* The container's flags, each once. */}}
{{- define "rtcmpu-exporter.args" -}}
- serve
- --config.file=/etc/rtcmpu-exporter/config/rtcmpu.yml
- --web.telemetry-path={{ .Values.web.telemetryPath }}
- --log.level={{ .Values.log.level }}
- --log.format={{ .Values.log.format }}
{{- with .Values.web.externalUrl }}
- --web.external-url={{ . }}
{{- end }}
{{- with .Values.web.routePrefix }}
- --web.route-prefix={{ . }}
{{- end }}
{{- if .Values.ingress.enabled }}
{{- range .Values.ingress.hosts }}
- --web.allowed-host={{ . }}
{{- end }}
{{- end }}
{{- if .Values.web.enableLifecycle }}
- --web.enable-lifecycle
{{- end }}
{{- if include "rtcmpu-exporter.webConfigSecret" . }}
- --web.config.file=/etc/rtcmpu-exporter/web/web.yml
- --web.health-without-auth
{{- end }}
{{- with .Values.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* "yes" if the configuration must not be in a ConfigMap: asked for, or a secret is in it in plain text. */}}
{{- define "rtcmpu-exporter.configIsSecret" -}}
{{- $found := .Values.configInSecret }}
{{- range .Values.config.accounts }}
  {{- $credentials := default dict .credentials }}
  {{- range $key := list "access_key_secret" "security_token" }}
    {{- $value := get $credentials $key | toString }}
    {{- if and $value (not (regexMatch `^\$\{[A-Za-z_][A-Za-z0-9_]*\}$` $value)) }}{{ $found = true }}{{ end }}
  {{- end }}
  {{- range $address := list .proxy $credentials.uri }}
    {{- if regexMatch "[@?]" (toString $address) }}{{ $found = true }}{{ end }}
  {{- end }}
{{- end }}
{{- if regexMatch "//[^/]*:[^/]*@|password=" (dig "storage" "url" "" .Values.config | toString) }}{{ $found = true }}{{ end }}
{{- if $found }}yes{{ end }}
{{- end }}

{{- define "rtcmpu-exporter.configName" -}}
{{- default (printf "%s-config" (include "rtcmpu-exporter.fullname" .)) .Values.existingSecret }}
{{- end }}

{{/* The Secret with the web configuration; nothing if there is none. */}}
{{- define "rtcmpu-exporter.webConfigSecret" -}}
{{- if .Values.webConfig.existingSecret }}
{{- .Values.webConfig.existingSecret }}
{{- else if .Values.webConfig.content }}
{{- include "rtcmpu-exporter.fullname" . }}-web
{{- end }}
{{- end }}

{{- define "rtcmpu-exporter.scheme" -}}
{{- if or .Values.webConfig.tls .Values.webConfig.clientCertificates .Values.webConfig.content.tls_server_config -}}
https
{{- else -}}
http
{{- end }}
{{- end }}

{{/* The path below which everything is served, without a slash at its end; takes the root. */}}
{{- define "rtcmpu-exporter.routePrefix" -}}
{{- $path := default (urlParse .Values.web.externalUrl).path .Values.web.routePrefix | trimAll "/" }}
{{- with $path }}/{{ . }}{{ end }}
{{- end }}

{{/* How a probe asks. Takes the root as `root`, the probe's values as `probe` and the page as `path`. */}}
{{- define "rtcmpu-exporter.probe" -}}
{{- $tls := default dict .root.Values.webConfig.content.tls_server_config }}
{{- if or .root.Values.probes.tcp .root.Values.webConfig.clientCertificates (hasPrefix "Require" (default "" $tls.client_auth_type)) }}
tcpSocket:
  port: http
{{- else }}
httpGet:
  path: {{ include "rtcmpu-exporter.routePrefix" .root }}{{ .path }}
  port: http
  scheme: {{ include "rtcmpu-exporter.scheme" .root | upper }}
{{- end }}
{{ toYaml (omit .probe "enabled") }}
{{- end }}

{{/* What is mounted as the configuration's directory besides rtcmpu.yml: an item for each file, or nothing. */}}
{{- define "rtcmpu-exporter.fileItems" -}}
{{- range $name, $_ := .Values.appFiles }}
- key: apps.{{ $name }}
  path: apps/{{ $name }}
{{- end }}
{{- range $name, $_ := .Values.ruleFiles }}
- key: rules.{{ $name }}
  path: rules/{{ $name }}
{{- end }}
{{- end }}

{{/* How Prometheus scrapes; takes the root. The same for both kinds of monitor. */}}
{{- define "rtcmpu-exporter.endpoints" -}}
{{- $monitor := .Values.serviceMonitor }}
{{- $endpoints := list (dict "path" .Values.web.telemetryPath "interval" $monitor.interval "job" $monitor.jobName) }}
{{- if $monitor.taskMetrics }}
{{- $job := printf "%s-tasks" $monitor.jobName }}
{{- $endpoints = append $endpoints (dict "path" "/metrics/tasks" "interval" $monitor.taskMetricsInterval "job" $job) }}
{{- end }}
{{- range $endpoints }}
- port: http
  path: {{ include "rtcmpu-exporter.routePrefix" $ }}{{ .path }}
  scheme: {{ include "rtcmpu-exporter.scheme" $ }}
  interval: {{ .interval }}
  scrapeTimeout: {{ $monitor.scrapeTimeout }}
  honorLabels: false
  {{- with $monitor.tlsConfig }}
  tlsConfig:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $monitor.basicAuth }}
  basicAuth:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  relabelings:
    - targetLabel: job
      replacement: {{ .job }}
    {{- with $monitor.relabelings }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $monitor.metricRelabelings }}
  metricRelabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* A text of `files` with links that lead where `links` says. Takes the root as `root` and the text as `text`. */}}
{{- define "rtcmpu-exporter.linked" -}}
{{- $service := printf "%s://%s.%s:%d%s" (include "rtcmpu-exporter.scheme" .root) (include "rtcmpu-exporter.fullname" .root) .root.Release.Namespace (int .root.Values.service.port) (include "rtcmpu-exporter.routePrefix" .root) }}
{{- with .root.Values.links }}
{{- $exporter := coalesce .exporter (trimSuffix "/" $.root.Values.web.externalUrl) (include "rtcmpu-exporter.ingressUrl" $.root) $service }}
{{- $.text
    | replace "http://localhost:10678" $exporter
    | replace "http://localhost:3000" .grafana
    | replace "https://github.com/rtcmpu-exporter/rtcmpu-exporter/blob/main/docs/runbooks" .runbooks }}
{{- end }}
{{- end }}

{{/* Where the Ingress publishes the pages; nothing without one. */}}
{{- define "rtcmpu-exporter.ingressUrl" -}}
{{- if .Values.ingress.enabled }}
{{- printf "%s://%s%s" (ternary "https" "http" (not (empty .Values.ingress.tls))) (first .Values.ingress.hosts) (include "rtcmpu-exporter.routePrefix" .) }}
{{- end }}
{{- end }}
