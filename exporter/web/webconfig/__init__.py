"""The web configuration of exporter-toolkit: TLS, client certificates, users, headers, rate limit."""
