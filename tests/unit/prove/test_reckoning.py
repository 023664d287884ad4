"""The reckoning at the end of a proof finds what it looks for."""

from dataclasses import replace

import pytest

from webhook_svc.prove.reckoning import Found, Letter, Promise, Reckoning, reckon, reckon_mail, reckon_rows

LEASE = Promise(name="contracts/lease", files=frozenset({"aa", "bb"}))
SALE = Promise(name="inhouse/sale", files=frozenset({"cc"}))
ALL = (
    Found(path="contracts/lease/lease.pdf", sha256="aa"),
    Found(path="contracts/lease/certificate.pdf", sha256="bb"),
    Found(path="contracts/lease/manifest.json", sha256="01"),
    Found(path="inhouse/sale/sale.pdf", sha256="cc"),
    Found(path="inhouse/sale/manifest.json", sha256="02"),
)
MAILS = (Letter(id="<1@acme>", files=LEASE.files), Letter(id="<2@acme>", files=SALE.files))
ROWS = (("contracts/lease", "archive", "delivered"), ("inhouse/sale", "archive", "delivered"))


def test_a_world_in_order_is_found_in_order() -> None:
    assert Reckoning() == reckon((LEASE, SALE), ALL)
    assert Reckoning() == reckon_mail((LEASE, SALE), MAILS, {})
    assert Reckoning() == reckon_rows((LEASE, SALE), ROWS, ["archive"])


@pytest.mark.parametrize("gone", range(len(ALL)))
def test_every_file_that_is_missing_is_found_lost(gone: int) -> None:
    found = reckon((LEASE, SALE), ALL[:gone] + ALL[gone + 1 :])

    assert 1 == len(found.lost)
    assert found.lost[0].startswith(ALL[gone].path.rpartition("/")[0])


@pytest.mark.parametrize("file", ALL)
def test_every_file_that_is_there_twice_is_found_doubled(file: Found) -> None:
    stem, _, ending = file.path.rpartition(".")
    found = reckon((LEASE, SALE), (*ALL, replace(file, path=f"{stem}-2.{ending}")))

    assert (1, ()) == (len(found.doubled), found.lost)


def test_other_bytes_in_a_file_are_a_loss_and_a_strange_file() -> None:
    found = reckon((LEASE, SALE), (replace(ALL[0], sha256="ff"), *ALL[1:]))

    assert Reckoning(lost=("contracts/lease: no file aa",), strange=(ALL[0].path,)) == found


def test_a_file_of_a_document_that_nobody_promised_is_strange() -> None:
    assert Reckoning(strange=("inhouse/sale/sale.pdf", "inhouse/sale/manifest.json")) == reckon((LEASE,), ALL)


def test_a_document_that_was_never_acknowledged_is_there_whole_or_not_at_all() -> None:
    maybe = replace(LEASE, required=False)

    assert reckon((maybe, SALE), ALL).right
    assert reckon((maybe, SALE), ALL[3:]).right
    assert not reckon((maybe, SALE), ALL[1:]).right


def test_a_mail_that_is_missing_doubled_beyond_the_count_or_of_another_id_is_found() -> None:
    again = Letter(id="<1@acme>", files=LEASE.files)

    assert Reckoning(lost=("inhouse/sale: no mail",)) == reckon_mail((LEASE, SALE), MAILS[:1], {})
    assert reckon_mail((LEASE, SALE), (*MAILS, again), {"contracts/lease": 1}).right
    assert 1 == len(reckon_mail((LEASE, SALE), (*MAILS, again), {}).doubled)
    assert 1 == len(reckon_mail((LEASE, SALE), (*MAILS, replace(again, id="<3@acme>")), {LEASE.name: 1}).doubled)


def test_a_delivery_row_that_is_missing_doubled_or_not_delivered_is_found() -> None:
    undone = (ROWS[0], ("inhouse/sale", "archive", "waiting"))

    assert Reckoning(lost=("inhouse/sale: no delivery to archive",)) == reckon_rows((LEASE, SALE), undone, ["archive"])
    assert 1 == len(reckon_rows((LEASE, SALE), (*ROWS, ROWS[0]), ["archive"]).doubled)
    assert 2 == len(reckon_rows((LEASE, SALE), ROWS, ["archive", "bucket"]).lost)
