"""From what is known about each app to the bytes that a scrape is answered with.

`app_families.py`, `task_families.py`, `change_families.py`, `policy_families.py`, `per_task_families.py`,
`rule_metrics.py` and `exporter_families.py` declare what is published; `labels.py` and `aggregates.py` turn
configurations into label values and sums; `stable_subset.py` chooses the tasks that have series of their own;
`exposition.py` keeps the finished bytes.
"""
