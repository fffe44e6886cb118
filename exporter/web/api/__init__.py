"""The JSON API below `/api/v1/`, a module for each subject; `openapi.py` describes it."""
