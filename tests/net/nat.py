"""What the router remembers of flows, and how it forgets. Said to the kernel itself, for want of a library with types;
the message has no content."""

from __future__ import annotations

import os
import socket
import struct

_NETLINK_NETFILTER = 12  # linux/netlink.h
_DELETE = 1 << 8 | 2  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE (linux/netfilter/nfnetlink_conntrack.h)
_REQUEST, _ACK = 0x1, 0x4
_MESSAGE = struct.Struct("=IHHIIBBH")  # struct nlmsghdr, struct nfgenmsg
_RESULT = struct.Struct("=i")


def forget() -> None:
    """Forget every flow of the network namespace that the calling thread is in. Raises OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as netlink:
        netlink.send(_MESSAGE.pack(_MESSAGE.size, _DELETE, _REQUEST | _ACK, 1, 0, socket.AF_UNSPEC, 0, 0))
        (number,) = _RESULT.unpack_from(netlink.recv(4096), 16)
    if number:
        raise OSError(-number, os.strerror(-number))
