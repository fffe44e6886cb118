"""The only package that knows the wire of the vendor's API.

`client.py` makes one signed request and brings a page of rows; `row.py` reads a row into a `Task`; `failures.py` says
what each failure means; `credentials.py` says where the key comes from.
"""
