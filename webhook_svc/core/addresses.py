"""Which network addresses may be reached for somebody else: pure rules over IP addresses."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address

_NEVER: Final = tuple(
    map(
        ip_network,
        (
            "169.254.0.0/16",  # link-local: most clouds serve machine credentials here
            "fe80::/10",
            "fd00:ec2::254/128",  # AWS
            "fd20:ce::254/128",  # Google Cloud
            "fd00:42::42/128",  # Scaleway
            "100.100.100.200/32",  # Alibaba
            "192.0.0.192/32",  # Oracle
            "168.63.129.16/32",  # Azure, a public address by the registry
        ),
    )
)
_NOT_PUBLIC: Final = tuple(
    map(
        ip_network,
        (
            "100.64.0.0/10",  # carrier-grade NAT
            "192.88.99.0/24",  # 6to4 relays: global for the standard library, private in effect
            "224.0.0.0/4",  # multicast
            "2002::/16",  # 6to4: carries any IPv4 address
            "3fff::/20",  # documentation
        ),
    )
)
_GLOBAL_UNICAST: Final = IPv6Address("2000::"), IPv6Address("3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
_NAT64: Final = ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48")


def read_address(text: str) -> Address:
    """The address, an IPv4-mapped one as the IPv4 address that the system would connect to."""
    address = ip_address(text.partition("%")[0])
    return (address.version == 6 and address.ipv4_mapped) or address


def is_public(address: Address) -> bool:
    """Reachable from anywhere. Every special form (NAT64, 6to4, Teredo, multicast, documentation) is not."""
    if isinstance(address, IPv6Address) and not _GLOBAL_UNICAST[0] <= address <= _GLOBAL_UNICAST[1]:
        return False
    return address.is_global and not any(address in network for network in _NOT_PUBLIC)


def is_never_reached(address: Address) -> bool:
    """Link-local and metadata addresses, also inside NAT64 and 6to4: no exception in a configuration opens them."""
    return any(form in network for form in (address, _carried(address)) for network in _NEVER)


def _carried(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one, else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if any(address in network for network in _NAT64) or int(address) < 2**32:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour or address
