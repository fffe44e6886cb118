"""From what is known about each app to the bytes that a scrape is answered with.

`*_families.py` declare what is published; `labels.py` and `aggregates.py` turn configurations into label values and
sums; `exposition.py` keeps the finished bytes.
"""
