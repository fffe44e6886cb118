"""One module for each command, and what a command's end means to a script."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of all commands."""

    FINE = 0
    FOUND = 1  # Violations, or rule tests that fail
    USAGE = 2  # the command line or the configuration is wrong
    UNREAD = 3  # an app could not be read, or there was nothing to read; findings count more
    UNAVAILABLE = 69  # the listen address does not exist yet; as EX_UNAVAILABLE of sysexits.h
    INTERNAL = 70  # a bug of the program ended it, with a traceback; as EX_SOFTWARE of sysexits.h
    UNWRITTEN = 74  # standard output can't be written; as EX_IOERR of sysexits.h
    PIPE_CLOSED = 141  # what reads standard output wants no more, as `head` does; as a shell reports SIGPIPE
    INTERRUPTED = 130  # Ctrl-C ended a command that ends by itself
