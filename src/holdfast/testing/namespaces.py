"""Network namespaces of Linux and the devices in them, without any tool: unshare(2), setns(2), ioctl(2). Needs root.

A namespace made here has no name in the file system. It lives as long as this process holds its descriptor, or a
process runs inside it; then the kernel removes it with all its devices. So nothing is left behind, whatever dies.

Sources: the manual pages namespaces(7), netdevice(7), tun in the kernel's Documentation/networking/tuntap.rst.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from holdfast.clock import SYSTEM_CLOCK
from holdfast.errors import FailedError, PermissionDeniedError

__all__ = ["current_namespace", "inside", "new_namespace", "tunnel_device"]

_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_SIOCSIFADDR, _SIOCSIFDSTADDR, _SIOCSIFMTU, _SIOCGIFINDEX, _SIOCSIFTXQLEN = 0x8916, 0x8918, 0x8922, 0x8933, 0x8943
_IFF_UP, _IFF_RUNNING = 0x1, 0x40
_QUEUE_PACKETS = 4000  # between the kernel and who reads the device; losses are to happen on the wire only
_USABLE_S_MAX = 2.0

_libc = ctypes.CDLL(None, use_errno=True)


def current_namespace() -> int:
    """A descriptor of the network namespace that the calling thread is in. The caller closes it."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def new_namespace() -> int:
    """A descriptor of a new network namespace, its loopback interface up. The caller closes it.

    Raises PermissionDeniedError where this process may not make one.
    """
    made: list[int] = []
    failed: list[int] = []

    def make() -> None:  # in a thread of its own, which ends inside the namespace; ours never leaves its own
        if _libc.unshare(_CLONE_NEWNET) != 0:
            failed.append(ctypes.get_errno())
            return
        _bring_up("lo")
        made.append(current_namespace())

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if failed:
        raise PermissionDeniedError(
            f"cannot make a network namespace: {os.strerror(failed[0])}", hint="run this as root, on Linux"
        )
    if not made:
        raise FailedError("a network namespace could not be set up")
    return made[0]


@contextmanager
def inside(namespace: int) -> Iterator[None]:
    """The calling thread is in `namespace`: sockets made and processes started here belong there for good."""
    before = current_namespace()
    try:
        _enter(namespace)
        try:
            yield
        finally:
            _enter(before)
    finally:
        os.close(before)


def tunnel_device(name: str, address: str, peer: str, address6: str, mtu: int) -> int:
    """Make a point-to-point device in the calling thread's namespace; a descriptor that carries its IP packets.

    The device has `address` and a route to `peer`, and `address6` (of a /127 whose other half is the peer's). It goes
    when the last descriptor is closed.
    """
    try:
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise FailedError(f"cannot open /dev/net/tun: {error.strerror}", hint="load the kernel's module tun") from error
    try:
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, _SIOCSIFMTU, struct.pack("16si20x", name.encode(), mtu))
            fcntl.ioctl(control, _SIOCSIFTXQLEN, struct.pack("16si20x", name.encode(), _QUEUE_PACKETS))
            fcntl.ioctl(control, _SIOCSIFADDR, _with_address(name, address))
            fcntl.ioctl(control, _SIOCSIFDSTADDR, _with_address(name, peer))
        _bring_up(name)
        _set_address6(name, address6)
    except OSError as error:
        os.close(device)
        raise FailedError(f"cannot set up the network device {name}: {error.strerror}") from error
    except BaseException:
        os.close(device)
        raise
    return device


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET) != 0:
        raise FailedError(f"cannot enter a network namespace: {os.strerror(ctypes.get_errno())}")


def _bring_up(name: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH22x", name.encode(), 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(control, _SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH22x", name.encode(), flags | _IFF_UP | _IFF_RUNNING))


def _with_address(name: str, address: str) -> bytes:
    """struct ifreq with a struct sockaddr_in."""
    return struct.pack("16sHH4s16x", name.encode(), socket.AF_INET, 0, socket.inet_aton(address))


def _set_address6(name: str, address: str) -> None:
    """struct in6_ifreq. A kernel without IPv6 goes without."""
    try:
        control = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    except OSError:
        return
    with control:
        (index,) = struct.unpack_from(
            "i", fcntl.ioctl(control, _SIOCGIFINDEX, struct.pack("16s24x", name.encode())), 16
        )
        packed = socket.inet_pton(socket.AF_INET6, address)
        fcntl.ioctl(control, _SIOCSIFADDR, struct.pack("16sIi", packed, 127, index))
        # Until the kernel has looked whether somebody else has it, which it does in its own time, it cannot be used.
        deadline = SYSTEM_CLOCK.monotonic() + _USABLE_S_MAX
        while SYSTEM_CLOCK.monotonic() < deadline:
            with suppress(OSError):
                control.bind((address, 0))
                return
            SYSTEM_CLOCK.sleep(0.001)
