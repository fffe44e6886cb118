"""A faithful local ListRtcMPUTaskDetail service for demonstrations, tests and benchmarks, without code of the rest.

`service.py` puts the rules together and needs no HTTP, `fleet.py` holds the tasks, `server.py` listens. `faults.py`
and `variants.py` list what can be made to go wrong or otherwise.
"""
