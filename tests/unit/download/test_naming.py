"""The file name of a part has an ending that fits its type."""

import pytest

from webhook_svc.download.naming import part_name

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@pytest.mark.parametrize(
    ("wanted", "content_type", "name"),
    [
        ("Lease", "application/pdf", "Lease.pdf"),
        ("Lease.PDF", "application/pdf", "Lease.PDF"),
        ("Lease v1.2", DOCX, "Lease v1.2.docx"),
        ("scan.jpeg", "image/jpeg", "scan.jpeg"),
        ("scan", "image/jpeg", "scan.jpg"),
        ("seal", "image/gif", "seal.gif"),
        ("page.htm", "text/html", "page.htm"),
        ("anything", "application/octet-stream", "anything"),
    ],
)
def test_a_name_without_an_ending_that_fits_is_given_one(wanted: str, content_type: str, name: str) -> None:
    assert name == part_name(wanted, content_type, set())
