"""A faithful local ListRtcMPUTaskDetail service for demonstrations, tests and benchmarks, without code of the rest.

`service.py` answers requests without HTTP, `simulated_server.py` listens. `fleet.py` holds the tasks and changes them,
`listing.py` has the rules of the operation and the variants of what is not documented, `faults.py` what can go wrong.
"""
