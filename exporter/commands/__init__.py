"""What each command does, one file a command; `exporter/cli.py` says how it is asked for."""
