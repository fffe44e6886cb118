"""What one reading of all apps has found: evaluated once, and written for machines.

`findings.py` says what was found, `gathering.py` takes it from the daemon's own engine; `document.py` (JSON),
`sarif.py` and `junit.py` write it down.
"""
