"""Reading each app's moving list exactly, within the budget.

`collector.py` keeps one app up to date, `listing.py` reads a list while it moves, `limiter.py` holds the budget,
`inventory.py` holds what was accepted, `schedule.py` says when.
"""
