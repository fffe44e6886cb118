"""The only package that knows the wire: signing, credentials, requests, errors, and rows parsed into tasks."""
