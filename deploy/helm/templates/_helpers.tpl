{{- define "mmgen.name" -}}
{{- if contains "mmgen" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-mmgen" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "mmgen.selector" -}}
app.kubernetes.io/name: mmgen
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "mmgen.labels" -}}
{{ include "mmgen.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "mmgen.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ if .Values.gpu.enabled }}-cuda{{ end }}
{{- end }}

{{- define "mmgen.keys" -}}
{{ .Values.keys.existingSecret | default (printf "%s-keys" (include "mmgen.name" .)) }}
{{- end }}

{{- define "mmgen.config" -}}
{{- $given := deepCopy .Values.config }}
{{- $ours := dict "host" "0.0.0.0" "port" 8000 "keys_file" "/etc/mmgen/keys/keys.yaml" }}
{{- if .Values.tls.secretName }}
{{- $_ := set $ours "ssl_certfile" "/etc/mmgen/tls/tls.crt" }}
{{- $_ := set $ours "ssl_keyfile" "/etc/mmgen/tls/tls.key" }}
{{- end }}
{{- toYaml (mergeOverwrite $given $ours) }}
{{- end }}

{{- define "mmgen.probe" -}}
port: http
scheme: {{ ternary "HTTPS" "HTTP" (ne .Values.tls.secretName "") }}
{{- end }}
