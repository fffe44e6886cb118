"""What a command's end means to a script."""

from typing import Final

FINE: Final = 0
FOUND: Final = 1
"""Something was found: violations, or rule tests that fail."""
USAGE: Final = 2
"""The command line or the configuration is wrong."""
UNREAD: Final = 3
"""An app could not be read, or there was nothing to read; what was found counts more."""
INTERNAL: Final = 70
"""A bug of the program ended it, with a traceback; as EX_SOFTWARE of sysexits.h."""
INTERRUPTED: Final = 130
"""Ctrl-C ended a command that ends by itself."""
