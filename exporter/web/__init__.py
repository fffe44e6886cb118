"""The HTTP side: pages for people, JSON for scripts, ready bytes for scrapers.

`view.py` says what the daemon offers to be shown; `application.py` has the routes, `answers.py` what an answer
looks like, `query.py` how parameters are read; `status_page.py` makes the page, `api.py`, `changes.py`,
`violations.py` and `rules.py` the JSON; `server.py` listens and drains.
"""
