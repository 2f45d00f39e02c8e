"""Certificates of a startup kit: usable now?"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from mediswarm.errors import HostError, KitError
from mediswarm.spec.certificate import check_validity, load_certificates


def test_a_whole_kit_is_usable(make_kit: Callable[..., Path]) -> None:
    certificates = load_certificates(make_kit(), "site")
    check_validity(certificates)
    assert certificates.federation == "demo"


def test_a_certificate_from_the_future_is_blamed_on_the_clock(make_kit: Callable[..., Path]) -> None:
    """R24."""
    begins = datetime.now(timezone.utc) + timedelta(hours=3)
    with pytest.raises(HostError) as raised:
        check_validity(load_certificates(make_kit(begins=begins), "site"))
    assert raised.value.code == "MS-N006"
    assert "this machine's clock says" in raised.value.message


def test_minutes_between_two_clocks_are_forgiven(make_kit: Callable[..., Path]) -> None:
    begins = datetime.now(timezone.utc) + timedelta(minutes=4)
    check_validity(load_certificates(make_kit(begins=begins), "site"))


def test_an_ended_certificate_is_refused(make_kit: Callable[..., Path]) -> None:
    begins = datetime.now(timezone.utc) - timedelta(days=3)
    with pytest.raises(KitError) as raised:
        check_validity(load_certificates(make_kit(begins=begins, days=2), "site"))
    assert raised.value.code == "MS-K021"
    assert raised.value.file is not None
    assert raised.value.file.endswith("client.crt")
    assert raised.value.repair == "Ask the operator for a renewed startup kit."


def test_an_admin_is_told_how_to_renew_the_kit(make_kit: Callable[..., Path]) -> None:
    begins = datetime.now(timezone.utc) - timedelta(days=3)
    kit = make_kit("admin@example.org", role="admin", begins=begins, days=2)
    with pytest.raises(KitError, match=r"`mediswarm provision FILE --renew admin@example\.org`"):
        check_validity(load_certificates(kit, "admin"))


@pytest.mark.parametrize("name", ["client.crt", "client.key", "rootCA.pem"])
@pytest.mark.parametrize("content", [None, b"", b"not a certificate"])
def test_a_damaged_file_is_named(make_kit: Callable[..., Path], name: str, content: bytes | None) -> None:
    kit = make_kit()
    file = kit / "startup" / name
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(KitError) as raised:
        load_certificates(kit, "site")
    assert (raised.value.code, raised.value.file) == ("MS-K024", str(file))


@pytest.mark.parametrize("name", ["client.key", "rootCA.pem"])
def test_files_of_two_kits_do_not_fit(
    make_kit: Callable[..., Path], make_authority: Callable[..., Any], name: str
) -> None:
    kit, other = make_kit(), make_kit(of=make_authority())
    (kit / "startup" / name).write_bytes((other / "startup" / name).read_bytes())
    with pytest.raises(KitError, match="MS-K024"):
        load_certificates(kit, "site")
