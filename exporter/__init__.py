"""Prometheus exporter for the mixed-stream relay (MPU) tasks of ApsaraVideo Live."""

__version__ = "0.1.0"
