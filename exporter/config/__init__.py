"""What the operator configures, checked before anything runs.

`model.py` declares every key with its type, bounds, default and meaning; `loader.py` reads a file into it, or
reports every mistake at once; `flags.py` does so for the command line; `forecast.py` tells whether a budget
suffices; `redacted.py` shows a configuration without its secrets; `schema.py`, `reference.py` describe it.
"""
