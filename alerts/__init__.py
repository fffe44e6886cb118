"""Alerts and recording rules as data, from which the files under `deploy/prometheus/` are made."""
