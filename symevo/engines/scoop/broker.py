"""SCOOP's broker, made to survive dead workers and to answer for them, and sockets of this user's run only.

SCOOP listens on all interfaces and unpickles what anyone sends. Here every socket is bound to loopback, and speaks
CURVE with one key pair per run. A CURVE server without an authenticator takes any client that knows its *public* key;
so that key is kept secret too, in an environment that other users cannot read.
"""

from __future__ import annotations

import os
import pickle
import threading
import time
from typing import Any

import zmq
from scoop.broker import brokerzmq as protocol

from symevo.engines.scoop import check_scoop
from symevo.engines.wire import reply

HOST = "127.0.0.1"
PUBLIC_KEY, SECRET_KEY = "_SYMEVO_SCOOP_PUBLIC", "_SYMEVO_SCOOP_SECRET"
_TICK_MS = 100
_SUSPICION = 3.0
_PROBE = [protocol.STATUS_ANS, pickle.dumps(None), protocol.STATUS_GIVEN]
"""A message that a worker reads and drops; that it cannot be delivered is what tells."""


def new_keys() -> dict[str, str]:
    """A key pair for one run, as environment variables; empty where ZeroMQ has no encryption."""
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


def use_private_sockets() -> None:
    """Make every later socket of this process a private one."""
    zmq.Context._socket_class = PrivateSocket  # type: ignore[assignment]


class WatchfulSocket:
    """The broker's task socket: knows who has which task, and what to do when one of them is gone.

    As it comes, the broker's thread dies when it sends to a worker that has died, and a task that died with
    its worker is never answered.
    """

    def __init__(self, broker: Any) -> None:
        self._broker = broker
        self._socket: zmq.Socket = broker.task_socket
        self._tasks: dict[bytes, bytes] = {}
        self._workers: set[bytes] = set()
        self._suspicious_until = 0.0
        self._stopping = False

    def suspect(self) -> None:
        """A worker has died; its connection may take a moment to go. Callable from any thread."""
        self._suspicious_until = time.monotonic() + _SUSPICION

    @property
    def stopping(self) -> bool:
        """Whether the end was asked for, by the origin or by :meth:`stop`."""
        return self._stopping

    def stop(self) -> None:
        """Has the broker shut down at its next look. Callable from any thread."""
        self._stopping = True

    def poll(self, timeout: int) -> int:
        """As the broker calls it, for ever; wakes up now and then."""
        if time.monotonic() < self._suspicious_until:
            for worker in [worker for worker in self._tasks if not self._deliver([worker, *_PROBE])]:
                self._answer_for(worker)
        return 1 if self._stopping else self._socket.poll(_TICK_MS)

    def recv_multipart(self) -> list[bytes]:
        if self._stopping:
            return [b"", protocol.SHUTDOWN]
        message = self._socket.recv_multipart()
        sender, kind = message[:2]
        if kind == protocol.REQUEST:
            self._workers.add(sender)
        elif kind == protocol.STATUS_DONE:
            self._tasks.pop(sender, None)
        elif kind == protocol.SHUTDOWN:
            if sender in self._workers:
                # A worker that fails asks for the end of the pool; it is replaced instead.
                return [sender, protocol.STATUS_DONE, b""]
            self._stopping = True
        return message

    def send_multipart(self, message: list[bytes]) -> None:
        if message[1] != protocol.TASK:
            self._deliver(message)
            return
        worker, _, task = message
        while not self._deliver([worker, protocol.TASK, task]):
            if not self._broker.available_workers:
                self._broker.unassigned_tasks.append((b"", task))
                return
            worker = self._broker.available_workers.popleft()
        self._tasks[worker] = task

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def _deliver(self, message: list[bytes]) -> bool:
        try:
            self._socket.send_multipart(message)
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            return False
        return True

    def _answer_for(self, worker: bytes) -> None:
        """Tells the origin that the task of a dead worker is lost."""
        future = pickle.loads(self._tasks.pop(worker))  # noqa: S301
        future.isDone = True
        future.resultValue = (reply("lost", "the worker died", 0.0), worker.decode())
        future.callable = future.args = future.kargs = future.greenlet = None
        self._deliver([future.id[0], protocol.REPLY, pickle.dumps(future)])


class BrokerThread:
    """The broker of one run, on two free ports of loopback."""

    def __init__(self) -> None:
        use_private_sockets()
        check_scoop(protocol.Broker, "run")
        self._broker: Any = protocol.Broker(f"tcp://{HOST}:*", f"tcp://{HOST}:*")
        for name in ("task_socket", "available_workers", "unassigned_tasks", "getPorts"):
            check_scoop(self._broker, name)
        self._socket = WatchfulSocket(self._broker)
        self._broker.task_socket = self._socket
        self.suspect = self._socket.suspect
        self._thread = threading.Thread(target=self._broker.run, name="symevo-scoop-broker", daemon=True)
        self._thread.start()

    @property
    def ports(self) -> tuple[int, int]:
        """The ports for tasks and for announcements."""
        return self._broker.getPorts()

    @property
    def serving(self) -> bool:
        """Whether the run goes on: its end was not asked for, and the broker has not failed."""
        return self._thread.is_alive() and not self._socket.stopping

    def stop(self) -> None:
        """Announces the end to the workers and waits up to 3 s for the broker."""
        self._socket.stop()
        self._thread.join(3.0)
