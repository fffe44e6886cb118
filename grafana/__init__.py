"""The Grafana dashboards: what makes them, and beside it what is made, ready to import or to provision."""
