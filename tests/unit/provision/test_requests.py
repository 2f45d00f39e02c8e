"""Distributed provisioning: the key stays where it was made."""

from __future__ import annotations

import stat
import tarfile
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from nvflare.lighter.utils import x509_name

from mediswarm.errors import FederationError, KitError, UsageError
from mediswarm.provision.provisioning import provision
from mediswarm.provision.requests import complete_kit, make_request
from mediswarm.spec.federation import Federation
from mediswarm.spec.kit import verify_kit

from .conftest import DOCUMENT, federation

NAME = "hospital-c"


def _with_own_key(**changes: object) -> Federation:
    site = {"name": NAME, "organisation": "hospital_c", "own_key": True} | changes
    return federation(sites=[*DOCUMENT["sites"], site])


@pytest.fixture
def at_site(tmp_path: Path) -> Path:
    """The site's own machine, with its key and request."""
    folder = tmp_path / "site"
    make_request(NAME, "hospital_c", folder)
    return folder


def test_a_key_of_ones_own(provisioned: Path, at_site: Path) -> None:
    waiting = provision(_with_own_key(), provisioned)
    done = provision(_with_own_key(), provisioned, approve=[at_site / f"{NAME}.csr"])

    assert waiting.outcomes[NAME] == "waiting"
    assert done.outcomes[NAME] == "new"
    key = (at_site / f"{NAME}.key").read_bytes()
    assert stat.S_IMODE((at_site / f"{NAME}.key").stat().st_mode) == 0o600
    assert not any(key in path.read_bytes() for path in provisioned.rglob("*") if path.is_file())
    assert not (provisioned / "kits" / NAME / "startup/client.key").exists()

    kit = complete_kit(provisioned / "kits" / f"{NAME}.tar.gz", at_site / f"{NAME}.key", at_site)

    assert verify_kit(at_site / NAME) == kit
    central = provisioned / "kits" / "hospital-a"
    assert _names(at_site / NAME) == _names(central), "the same layout as a kit from the operator"
    assert "startup/client.key" in kit.files
    assert stat.S_IMODE((at_site / NAME / "startup/client.key").stat().st_mode) == 0o600


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_the_fingerprint_is_the_same_at_both_ends(provisioned: Path, tmp_path: Path) -> None:
    request, fingerprint = make_request(NAME, "hospital_c", tmp_path)

    done = provision(_with_own_key(), provisioned, approve=[request])

    assert done.approved == {NAME: fingerprint}


def test_approving_twice_keeps_the_certificate(provisioned: Path, at_site: Path) -> None:
    request = at_site / f"{NAME}.csr"
    provision(_with_own_key(), provisioned, approve=[request])

    again = provision(_with_own_key(), provisioned, approve=[request])

    assert set(again.outcomes.values()) == {"unchanged"}


def test_approving_before_the_first_provisioning(tmp_path: Path, at_site: Path) -> None:
    done = provision(_with_own_key(), tmp_path / "out", approve=[at_site / f"{NAME}.csr"])

    assert set(done.outcomes.values()) == {"new"}


def test_a_new_key_after_the_old_was_lost(provisioned: Path, at_site: Path, tmp_path: Path) -> None:
    provision(_with_own_key(), provisioned, approve=[at_site / f"{NAME}.csr"])
    make_request(NAME, "hospital_c", tmp_path / "new")

    done = provision(_with_own_key(), provisioned, approve=[tmp_path / "new" / f"{NAME}.csr"])

    assert done.outcomes[NAME] == "changed"
    complete_kit(provisioned / "kits" / f"{NAME}.tar.gz", tmp_path / "new" / f"{NAME}.key", tmp_path)


def _refused(provisioned: Path, spec: Federation, request: Path) -> FederationError:
    with pytest.raises(FederationError) as caught:
        provision(spec, provisioned, approve=[request])
    assert caught.value.file == str(request)
    return caught.value


def test_a_request_of_another_organisation(provisioned: Path, at_site: Path) -> None:
    error = _refused(provisioned, _with_own_key(organisation="other"), at_site / f"{NAME}.csr")

    assert (error.code, "'hospital_c'" in error.message) == ("MS-F014", True)


def test_a_request_that_nobody_asked_for(provisioned: Path, at_site: Path) -> None:
    assert _refused(provisioned, federation(), at_site / f"{NAME}.csr").code == "MS-F013"


def test_a_request_for_a_kit_whose_key_the_operator_makes(provisioned: Path, tmp_path: Path) -> None:
    request, _ = make_request("hospital-a", "hospital_a", tmp_path)

    error = _refused(provisioned, federation(), request)

    assert error.code == "MS-F014"
    assert "own_key: true" in error.repair


def test_what_is_no_request(provisioned: Path, at_site: Path) -> None:
    assert _refused(provisioned, _with_own_key(), at_site / f"{NAME}.key").code == "MS-F014"
    assert _refused(provisioned, _with_own_key(), at_site / "none.csr").code == "MS-F014"


def test_a_request_over_a_weak_key(provisioned: Path, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP192R1())
    subject = x509_name(NAME, "hospital_c")
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    file = tmp_path / "weak.csr"
    file.write_bytes(request.public_bytes(serialization.Encoding.PEM))

    error = _refused(provisioned, _with_own_key(), file)

    assert "RSA" in error.message


def test_a_request_signed_with_another_key(provisioned: Path, at_site: Path, tmp_path: Path) -> None:
    der = bytearray(x509.load_pem_x509_csr((at_site / f"{NAME}.csr").read_bytes()).public_bytes(_DER))
    der[-1] ^= 1
    file = tmp_path / "changed.csr"
    file.write_bytes(x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM))

    assert "changed" in _refused(provisioned, _with_own_key(), file).message


_DER = serialization.Encoding.DER


def test_a_key_is_never_overwritten(at_site: Path) -> None:
    with pytest.raises(UsageError) as caught:
        make_request(NAME, "hospital_c", at_site)

    assert caught.value.code == "MS-U003"


def test_completing_with_another_key(provisioned: Path, at_site: Path, tmp_path: Path) -> None:
    provision(_with_own_key(), provisioned, approve=[at_site / f"{NAME}.csr"])
    archive = provisioned / "kits" / f"{NAME}.tar.gz"
    make_request(NAME, "hospital_c", tmp_path / "other")

    with pytest.raises(KitError) as caught:
        complete_kit(archive, tmp_path / "other" / f"{NAME}.key", tmp_path / "into")
    assert caught.value.code == "MS-K004"

    with pytest.raises(KitError) as caught:
        complete_kit(archive, archive, tmp_path / "into")
    assert caught.value.code == "MS-K004"
    assert list((tmp_path / "into").iterdir()) == [], "a failure leaves no half of a kit"

    complete_kit(archive, at_site / f"{NAME}.key", tmp_path / "into")
    with pytest.raises(UsageError) as exists:
        complete_kit(archive, at_site / f"{NAME}.key", tmp_path / "into")
    assert exists.value.code == "MS-U003"


def test_completing_what_is_no_archive(at_site: Path, tmp_path: Path) -> None:
    with pytest.raises(KitError) as caught:
        complete_kit(at_site / f"{NAME}.csr", at_site / f"{NAME}.key", tmp_path / "into")

    assert caught.value.code == "MS-K005"


@pytest.mark.parametrize("escape", ["../escaped", "/escaped", f"{NAME}/../../escaped", f"{NAME}/link"])
@pytest.mark.parametrize("filters", [True, False], ids=["", "Python 3.11.2"])
def test_an_archive_that_would_write_elsewhere(
    at_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, escape: str, filters: bool
) -> None:
    if not filters:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    archive = tmp_path / "escaping.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        member = tarfile.TarInfo(escape)
        if escape.endswith("link"):
            member.type, member.linkname = tarfile.SYMTYPE, "/"
        tar.addfile(member)
    with pytest.raises(KitError) as caught:
        complete_kit(archive, at_site / f"{NAME}.key", tmp_path / "into")
    assert caught.value.code == "MS-K005"
    assert not list((tmp_path / "into").iterdir())


@pytest.mark.filterwarnings("ignore:Python 3.14 will:DeprecationWarning")
def test_completing_with_a_python_that_cannot_filter(
    provisioned: Path, at_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    provision(_with_own_key(), provisioned, approve=[at_site / f"{NAME}.csr"])
    complete_kit(provisioned / "kits" / f"{NAME}.tar.gz", at_site / f"{NAME}.key", tmp_path / "into")
    assert verify_kit(tmp_path / "into" / NAME).name == NAME


def test_a_request_made_with_nvflares_own_tool(provisioned: Path, tmp_path: Path) -> None:
    from nvflare.tool.cert.cert_commands import generate_csr_files

    generate_csr_files(NAME, "hospital_c", "client", str(tmp_path))

    done = provision(_with_own_key(), provisioned, approve=[tmp_path / f"{NAME}.csr"])

    assert done.outcomes[NAME] == "new"
