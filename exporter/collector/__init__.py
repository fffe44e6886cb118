"""Reads each app's moving list exactly, within the request budget, on schedule."""
