"""What all stores that speak S3 have in common: names, addresses, checksums, and the word for what went wrong."""

import re
from base64 import b64encode
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from ...core.outgoing import Answer

BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
REGION: Final = re.compile(r"[a-z0-9-]{1,40}")

NOT_IMPLEMENTED: Final = "NotImplemented"
"""The code of stores for a header that they do not know."""

_CODE: Final = re.compile(rb"<Code>([A-Za-z0-9.]{1,64})</Code>")


def bucket_url(bucket: str, region: str, endpoint: str = "", *, in_path: bool | None = None) -> str:
    """Where a bucket answers, without a slash at the end. By itself it stands in the path of a named endpoint, and
    where a dot in its name would break the host's certificate."""
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    scheme, host, path, _, _ = urlsplit(endpoint or f"https://s3.{region}.{suffix}")
    if in_path if in_path is not None else (endpoint or "." in bucket):
        return urlunsplit((scheme, host, f"{path.rstrip('/')}/{bucket}", "", ""))
    return urlunsplit((scheme, f"{bucket}.{host}", path.rstrip("/"), "", ""))


def error_code(answer: Answer) -> str:
    """The store's own word for what went wrong; nothing else of its answer is ever shown."""
    found = _CODE.search(answer.body)
    return found.group(1).decode() if found else ""


def knows_no_condition(answer: Answer) -> bool:
    """Of a write under `If-None-Match: *`. A 501 alone may come from a proxy in between, once."""
    return answer.status == 501 or never_knows_condition(answer)


def never_knows_condition(answer: Answer) -> bool:
    """The store itself says so, and will again."""
    return error_code(answer) == NOT_IMPLEMENTED


def checksum(sha256: str) -> str:
    """As `x-amz-checksum-sha256` writes it."""
    return b64encode(bytes.fromhex(sha256)).decode()


def stored_checksum(head: Answer) -> str:
    """That of the whole stored object; "" where the store keeps none, or only one of the parts it came in."""
    found = head.headers.get("x-amz-checksum-sha256", "")
    return "" if "-" in found else found
