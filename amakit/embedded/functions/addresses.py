"""Functions of KQL on addresses of the internet, which are Python."""

import ipaddress
import re

from amakit.embedded.functions.scalars import function


def _network(text, prefix=32):
    address, _, own = text.strip().partition("/")
    if not re.fullmatch(r"\d+(\.\d+){3}", address):
        return None
    try:
        return int(ipaddress.IPv4Address(address)), min(int(own) if own else 32, prefix)
    except ValueError:
        return None


def _masked(value, prefix):
    return value & (0xFFFFFFFF << (32 - prefix)) & 0xFFFFFFFF


@function("ssL", "l")
def _ipv4_compare(left, right, prefix=32):
    one, two = _network(left, prefix), _network(right, prefix)
    if one is None or two is None:
        return None
    common = min(one[1], two[1])
    a, b = _masked(one[0], common), _masked(two[0], common)
    return (a > b) - (a < b)


@function("ssL", "b")
def _ipv4_is_match(left, right, prefix=32):
    compared = _ipv4_compare(left, right, prefix)
    return None if compared is None else compared == 0


@function("ss", "b")
def _ipv4_is_in_range(address, network):
    one, two = _network(address), _network(network)
    if one is None or two is None:
        return None
    return _masked(one[0], two[1]) == _masked(two[0], two[1])


@function("sjJJJ", "b")
def _ipv4_is_in_any_range(address, *networks):
    each = [net for part in networks for net in (part if isinstance(part, list) else [part]) if net is not None]
    found = [_ipv4_is_in_range(address, network) for network in each]
    return True if True in found else None if None in found and _network(address) is None else False


@function("s", "b")
def _ipv4_is_private(address):
    one = _network(address)
    if one is None:
        return None
    return any(_ipv4_is_in_range(address.partition("/")[0], net) for net in _PRIVATE)


_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")


@function("s", "l")
def _ipv4_netmask_suffix(address):
    one = _network(address)
    return None if one is None else int(address.partition("/")[2] or 32)


@function("sL", "s")
def _format_ipv4(address, prefix=32):
    one = _network(address, prefix)
    return "" if one is None or prefix < 0 else str(ipaddress.IPv4Address(_masked(*one)))


@function("sl", "l")
def _parse_ipv4_mask(address, prefix):
    one = _network(address, prefix)
    return None if one is None or not 0 <= prefix <= 32 else _masked(*one)


@function("sL", "s")
def _format_ipv4_mask(address, prefix=32):
    one = _network(address, prefix)
    return "" if one is None or prefix < 0 else f"{ipaddress.IPv4Address(_masked(*one))}/{one[1]}"


def _network_6(text, prefix):
    """Read an address of either version as one of version 6, and how many of its bits count."""
    address, _, own = text.strip().partition("/")
    try:
        read, bits = ipaddress.ip_address(address), int(own) if own else None
    except ValueError:
        return None
    if read.version == 4:
        return int(read) | 0xFFFF << 32, min(128 if bits is None else bits + 96, prefix)
    return int(read), min(128 if bits is None else bits, prefix)


@function("ssL", "l")
def _ipv6_compare(left, right, prefix=128):
    one, two = _network_6(left, prefix), _network_6(right, prefix)
    if one is None or two is None or not 0 <= prefix <= 128:
        return None
    away = 128 - min(one[1], two[1])
    a, b = one[0] >> away, two[0] >> away
    return (a > b) - (a < b)


@function("ssL", "b")
def _ipv6_is_match(left, right, prefix=128):
    compared = _ipv6_compare(left, right, prefix)
    return None if compared is None else compared == 0


@function("ss", "b")
def _has_ipv4(text, address):
    return re.search(rf"(?<![\w.]){re.escape(address)}(?![\w.])", text) is not None and _network(address) is not None


@function("ss", "b")
def _has_ipv4_prefix(text, prefix):
    if not prefix.endswith(".") and prefix.count(".") < 3:  # half a number is no prefix
        return False
    found = re.finditer(rf"(?<![\w.])({re.escape(prefix)}[\d.]*)(?![\w.])", text)
    return any(_network(match[1]) is not None for match in found)
