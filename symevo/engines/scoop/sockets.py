"""ZeroMQ sockets for SCOOP that only this user's run can talk to.

SCOOP listens on all interfaces and unpickles what anyone sends. Here every socket is bound to loopback, and
speaks CURVE with one key pair per run. A CURVE server without an authenticator takes any client that knows
its *public* key; so that key is kept secret too, in an environment that other users cannot read.
"""

from __future__ import annotations

import os

import zmq

HOST = "127.0.0.1"
PUBLIC_KEY, SECRET_KEY = "_SYMEVO_SCOOP_PUBLIC", "_SYMEVO_SCOOP_SECRET"


def new_keys() -> dict[str, str]:
    """A key pair for one run, as environment variables; empty where ZeroMQ was built without encryption."""
    if not zmq.has("curve"):
        return {}
    public, secret = zmq.curve_keypair()
    return {PUBLIC_KEY: public.decode(), SECRET_KEY: secret.decode()}


class PrivateSocket(zmq.Socket):
    """A socket on loopback that takes and makes connections of this run only."""

    def bind(self, addr: str):
        self._be_private(serve=True)
        return super().bind(_loopback(addr))

    def connect(self, addr: str):
        self._be_private(serve=False)
        return super().connect(_loopback(addr))

    def _be_private(self, *, serve: bool) -> None:
        """Sets the keys anew each time: SCOOP binds and connects one and the same socket."""
        self.setsockopt(zmq.IPV6, 0)  # SCOOP asks for it; IPv4 alone is easier to check
        public, secret = os.environ.get(PUBLIC_KEY), os.environ.get(SECRET_KEY)
        if not public or not secret:
            return
        self.setsockopt_string(zmq.CURVE_PUBLICKEY, public)
        self.setsockopt_string(zmq.CURVE_SECRETKEY, secret)
        if serve:
            self.setsockopt(zmq.CURVE_SERVER, 1)
        else:
            self.setsockopt_string(zmq.CURVE_SERVERKEY, public)


def _loopback(address: str) -> str:
    """The address with "every interface" made loopback; raises ValueError for any other host."""
    local = address.replace("tcp://*:", f"tcp://{HOST}:")
    if not local.startswith(f"tcp://{HOST}:"):
        raise ValueError(f"{address} is not on {HOST}: SCOOP has no authentication of its own")
    return local


def install() -> None:
    """Makes every later socket of this process a private one."""
    zmq.Context._socket_class = PrivateSocket  # type: ignore[assignment]
