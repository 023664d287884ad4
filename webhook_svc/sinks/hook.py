"""Secret addresses: whoever knows one may post there, so it is configured, shown and logged as a secret."""

from ..core.settings import Secret, host_of


def origin(url: Secret) -> str:
    """`https://host:port`. ValueError, without a word of its text, where it is no web address."""
    try:
        found = host_of(url.reveal().strip())
    except ValueError:
        found = ""
    if not found.startswith(("https:", "http:")) or "#" in url.reveal():
        raise ValueError("a web address such as https://host/path, its host in ASCII")
    return found


def host(url: Secret) -> str:
    """The part that people may see."""
    return origin(url).partition("://")[2].removesuffix(":443")
