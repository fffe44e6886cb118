"""Tests of what is said about an address that the simulator can't listen on."""

import errno
import os
import socket

import pytest

from exporter.commands.simulate import cannot_listen


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.EADDRINUSE, "error while attempting to bind on address"), os.strerror(errno.EADDRINUSE)),
        (OSError(errno.EACCES, "error while attempting to bind on address"), os.strerror(errno.EACCES)),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
    ],
)
def test_the_reason_is_the_systems_and_the_flag_is_named(error: OSError, reason: str) -> None:
    """One line says which address, why not, and which flag chooses another."""
    line = cannot_listen("localhost", 10679, error, "--listen-address")
    assert line == f"can't listen on localhost:10679: {reason}; stop what uses it or choose another --listen-address\n"
