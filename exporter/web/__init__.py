"""HTTP: pages for people, JSON for scripts, metrics for scrapers; `view.py` is what the daemon has to show."""
