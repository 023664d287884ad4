"""Where a bucket is and who may use it, in one line that is kept like a password."""

from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from ..core.settings import Secret, host_of
from ..signing.outgoing.aws4 import Aws4Key
from ..signing.outgoing.bucket import BUCKET, REGION, bucket_url


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketAddress:
    """`url` is the bucket's, `prefix` stands before every name: empty, or ending in a slash."""

    bucket: str
    prefix: str
    url: str
    key: Aws4Key

    def hosts(self) -> frozenset[str]:
        return frozenset({host_of(self.url)})


def read_address(text: str) -> BucketAddress:
    """`s3://KEY_ID:SECRET@BUCKET/PREFIX?region=…&endpoint=…`. ValueError says what is expected and shows nothing."""
    try:
        parts = urlsplit(text)
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise ValueError("an address such as s3://KEY_ID:SECRET@BUCKET/PREFIX?region=…&endpoint=https://…") from None
    credentials, _, bucket = parts.netloc.rpartition("@")
    key_id, _, secret = (unquote(one) for one in credentials.partition(":"))
    options = dict(pairs)
    region, endpoint = options.get("region", "us-east-1"), options.get("endpoint", "")
    prefix = unquote(parts.path).strip("/")
    for right, expected in (
        (parts.scheme == "s3" and not parts.fragment, "an address that begins with s3:// and has no fragment"),
        (key_id and secret, "KEY_ID:SECRET@ before the bucket, both percent-encoded: a / in the secret is %2F"),
        (BUCKET.fullmatch(bucket), "a bucket name of 3 to 63 letters, digits, dots, hyphens"),
        (len(options) == len(pairs) and options.keys() <= {"region", "endpoint"}, "no option but region and endpoint"),
        (REGION.fullmatch(region), "a region such as eu-central-1"),
        (not endpoint or _is_endpoint(endpoint), "an endpoint such as https://HOST, without user, query and fragment"),
        (not prefix or not {"", ".", ".."} & set(prefix.split("/")), "a prefix without empty segments and dots"),
    ):
        if not right:
            raise ValueError(expected)
    key = Aws4Key(access_key_id=Secret(key_id), secret_access_key=Secret(secret), session_token=None, region=region)
    return BucketAddress(
        bucket=bucket, prefix=prefix and f"{prefix}/", url=bucket_url(bucket, region, endpoint), key=key
    )


def _is_endpoint(text: str) -> bool:
    try:
        host_of(text)
    except ValueError:
        return False
    return text.startswith(("https://", "http://")) and not any(one in text for one in "@?#")
