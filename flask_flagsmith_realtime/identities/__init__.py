"""The flags of one identity: the identity loader, local and remote evaluation, their caches."""

from __future__ import annotations

from .loader import IdentityLoader
from .local import LocalIdentities
from .remote import RemoteIdentities, RequestIdentities

__all__ = [
    "IdentityLoader",
    "LocalIdentities",
    "RemoteIdentities",
    "RequestIdentities",
]
