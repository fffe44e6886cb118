"""What may be shown of a push URL: scheme and host. It is hostile text until it is read: nothing here raises."""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from exporter.task import PUSH_SCHEMES

_URL: Final = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]{0,31}):)?//([^/?#\\]*)")
_HOST: Final = re.compile(r"\[[0-9A-Fa-f:.%]{1,64}\]|[^:\[\]]{0,253}")
_LONGER_THAN_A_HOST: Final = 256
REMEMBERED_HOSTS: Final = 1024


class PushUrl(NamedTuple):
    """The parts of a push URL that are kept."""

    scheme: str
    """Lower case; empty where there is none."""
    host: str
    """Lower case, without port and user; empty where there is none."""
    has_userinfo: bool

    @property
    def has_known_scheme(self) -> bool:
        """Whether the scheme is one that push URLs are known to have."""
        return self.scheme in PUSH_SCHEMES


def parse_push_url(url: str) -> PushUrl:
    """Take a URL apart; what is no URL has empty parts."""
    match = _URL.match(url)
    if match is None:
        return PushUrl("", "", has_userinfo=False)
    scheme, authority = match.groups()
    _, at, host = authority.rpartition("@")
    return _shown(scheme or "", host[:_LONGER_THAN_A_HOST], bool(at))


# Many URLs push to few hosts. Nobody's password gets here.
@lru_cache(maxsize=REMEMBERED_HOSTS)
def _shown(scheme: str, host: str, has_userinfo: bool) -> PushUrl:
    """Return the parts as they are shown."""
    match = _HOST.match(host)
    shown = match[0].lower() if match and match[0].isprintable() else ""
    return PushUrl(scheme.lower(), shown, has_userinfo)
