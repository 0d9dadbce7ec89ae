"""Ids of networks that application services bridge to: clients give them to see the rooms of one network alone. Pure.

Spec: client-server-api/#third-party-networks.
"""

from urllib.parse import quote, unquote


def instance_id(service_id: str, network_id: str) -> str:
    """The id by which clients name a service's network in searches of its directory."""
    return f"{quote(service_id, safe='')}|{quote(network_id, safe='')}"


def network_of(instance: str) -> tuple[str, str]:
    """Service and network of an instance id; of one that is not ours, some that do not exist."""
    service_id, _, network_id = instance.partition("|")
    return unquote(service_id), unquote(network_id)
