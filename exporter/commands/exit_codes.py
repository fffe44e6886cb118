"""What a command's end means to a script."""

from typing import Final

FINE: Final = 0
FAILED: Final = 1
"""Something was found, or an app can't be read; the others are still shown."""
USAGE: Final = 2
"""The command line or the configuration is wrong."""
INTERNAL: Final = 70
"""A bug of the program ended it, with a traceback; as EX_SOFTWARE of sysexits.h."""
