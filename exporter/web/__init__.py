"""The HTTP side: pages for people, JSON for scripts, ready bytes for scrapers.

`view.py` says what the daemon offers to be shown; `application.py` has the routes, `answers.py` what an answer
looks like; `status_page.py`, `api.py` and `changes.py` make the page and the JSON; `server.py` listens and drains.
"""
