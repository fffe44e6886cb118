"""A faithful local ListRtcMPUTaskDetail service for demonstrations, tests and benchmarks, without code of the rest."""
