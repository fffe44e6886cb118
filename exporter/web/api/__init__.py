"""The JSON API below `/api/v1/`: each module declares the endpoints of its subject; `openapi.py` describes them."""
