"""What the operator configures, checked before anything runs.

`model.py` declares every key with its type, bounds, default and meaning; `loader.py` reads files into it, or reports
every mistake at once, by what `yaml_nodes.py` finds in a text and `reader.py` makes of it; `flags.py` does so for the
command line; `forecast.py` tells whether a budget suffices; `redacted.py` shows a configuration without its secrets;
`schema.py`, `reference.py` describe it.
"""
