"""HTTP: pages for people, JSON for scripts, metrics for scrapers.

`view.py` declares what the daemon has to show, `application.py` joins all routes, `http_server.py` listens.
"""
