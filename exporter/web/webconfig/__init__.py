"""The web configuration that Prometheus' own exporters share: TLS, client certificates, users, headers, rate limit."""
