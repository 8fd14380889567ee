"""HTTP clients for this machine's own services."""

from __future__ import annotations

import ssl

import httpx

# Every httpx client loads the system's certificate authorities, also for plain HTTP on loopback.
# That takes 40 ms each time.
_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def client(
    base_url: str,
    *,
    timeout: float | None,
    auth: tuple[str, str] | None = None,
    socket: str | None = None,
) -> httpx.Client:
    """A client of a service on loopback, or on a unix socket.

    Args:
        timeout: in seconds, None for no limit.
    """
    transport = httpx.HTTPTransport(uds=socket, verify=_NO_AUTHORITIES)
    return httpx.Client(base_url=base_url, timeout=timeout, auth=auth, transport=transport)
