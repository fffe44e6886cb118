"""The HTTP side: pages for people, JSON for scripts, ready bytes for scrapers.

`view.py` says what the daemon offers to be shown; `application.py` puts the routes together, which stand in
`pages/`, `api/`, `expositions.py`, `probes.py` and `lifecycle.py`; `answers.py` says what an answer looks like,
`accounting.py` what holds for all; `server.py` listens and drains. `limits.py` says what clients may ask for, and
`connections.py` and `scrapes.py` hold them to it.
"""
