"""Provisioning: what is made once, what may change, and what stays valid."""

from __future__ import annotations

import stat
import subprocess
import sys
import tarfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store

from mediswarm.errors import FederationError, KitError
from mediswarm.provision import provisioning
from mediswarm.provision.provisioning import provision
from mediswarm.spec.kit import expires_within, kits_in, load_kit, verify_kit

from .conftest import DOCUMENT, federation

SERVER, SITE_A, SITE_B = "server.example.org", "hospital-a", "hospital-b"
OPERATOR, LEAD = "operator@example.org", "lead@example.org"
EVERYONE = [SERVER, SITE_A, SITE_B, OPERATOR, LEAD]
SITE_C = {"name": "hospital-c", "organisation": "hospital_c"}

PAUSES = """
import sys
from mediswarm.cli import main
from mediswarm.provision import provisioning

def pausing(*arguments):
    print("at work", file=sys.stderr, flush=True)
    sys.stdin.readline()
    return new_root(*arguments)

new_root, provisioning.new_root = provisioning.new_root, pausing
main()
"""


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _certificate(kit: Path) -> x509.Certificate:
    (file,) = [*kit.glob("startup/client.crt"), *kit.glob("startup/server.crt")]
    return x509.load_pem_x509_certificate(file.read_bytes())


def _root(kit: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((kit / "startup/rootCA.pem").read_bytes())


class TestFirstTime:
    def test_a_kit_for_everyone(self, provisioned_once: Path) -> None:
        kits = provisioned_once / "kits"

        assert sorted(path.name for path in kits.iterdir() if path.is_dir()) == sorted(EVERYONE)
        for name in EVERYONE:
            kit = verify_kit(kits / name)
            assert (kit.name, kit.federation, kit.server.admin_port) == (name, "demo", 8003)
            assert not kit.sites or kit.role == "admin"
        assert load_kit(kits / OPERATOR).sites == (SITE_A, SITE_B)
        assert load_kit(kits / SITE_A).image_digest == f"sha256:{'a' * 64}"
        assert load_kit(kits / SERVER).image == "mediswarm/server:1"

    def test_the_generation_is_the_root_certificate(self, provisioned_once: Path) -> None:
        from hashlib import sha256

        kits = kits_in(provisioned_once)
        der = _root(provisioned_once / "kits" / SITE_A).public_bytes(serialization.Encoding.DER)

        assert {kit.generation for kit in kits} == {sha256(der).hexdigest()[:12]}

    def test_validity_is_the_files(self, provisioned_once: Path) -> None:
        kits = provisioned_once / "kits"
        root = _root(kits / SITE_A)

        assert root.not_valid_after_utc - root.not_valid_before_utc == timedelta(days=1000)
        for name in EVERYONE:
            certificate = _certificate(kits / name)
            assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(days=100)
            assert load_kit(kits / name).expires == certificate.not_valid_after_utc
            # clocks of hospitals differ: a kit works at once where the clock is slow by minutes
            assert certificate.not_valid_before_utc < datetime.now(timezone.utc) - timedelta(minutes=50)

    def test_certificates_name_their_owner(self, provisioned_once: Path) -> None:
        names = {
            name: _certificate(provisioned_once / "kits" / name).subject.rfc4514_string() for name in EVERYONE
        }

        assert names[SITE_A] == "O=hospital_a,CN=hospital-a"
        assert names[LEAD] == "1.2.840.113549.1.9.2=lead,O=example,CN=lead@example.org"

    def test_a_sites_certificate_cannot_pose_as_a_server(self, provisioned_once: Path) -> None:
        kits = provisioned_once / "kits"

        def purposes(name: str) -> list[x509.ObjectIdentifier]:
            return list(
                _certificate(kits / name).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
            )

        assert purposes(SITE_A) == purposes(OPERATOR) == [ExtendedKeyUsageOID.CLIENT_AUTH]
        assert ExtendedKeyUsageOID.SERVER_AUTH in purposes(SERVER)
        (builder,) = [PolicyBuilder().store(Store([_root(kits / SERVER)]))]
        builder.build_server_verifier(x509.DNSName(SERVER)).verify(_certificate(kits / SERVER), [])

    def test_each_kit_holds_its_own_key_only(self, provisioned_once: Path) -> None:
        keys = {path for path in (provisioned_once / "kits").rglob("*") if b"PRIVATE KEY" in _bytes(path)}

        assert {path.relative_to(provisioned_once / "kits").parts[0] for path in keys} == set(EVERYONE)
        assert len(keys) == len(EVERYONE)
        for path in keys:
            key = serialization.load_pem_private_key(path.read_bytes(), None)
            assert key.public_key() == _certificate(path.parents[1]).public_key()
            assert key.public_key() != _root(path.parents[1]).public_key()

    def test_nothing_secret_is_open_to_others(self, provisioned_once: Path) -> None:
        state = provisioned_once / "state"
        secret = [path for path in provisioned_once.rglob("*") if b"PRIVATE KEY" in _bytes(path)]
        secret += (provisioned_once / "kits").glob("*.tar.gz")

        assert stat.S_IMODE(state.stat().st_mode) == 0o700
        assert len(secret) == 2 * len(EVERYONE) + 1
        assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}

    def test_the_archive_is_the_folder(self, provisioned_once: Path, tmp_path: Path) -> None:
        with tarfile.open(provisioned_once / "kits" / f"{SITE_A}.tar.gz") as archive:
            archive.extractall(tmp_path, filter="data")

        assert _files(tmp_path / SITE_A) == _files(provisioned_once / "kits" / SITE_A)
        assert stat.S_IMODE((tmp_path / SITE_A / "startup/client.key").stat().st_mode) == 0o600
        verify_kit(tmp_path / SITE_A)

    def test_a_changed_file_is_found(self, provisioned: Path) -> None:
        file = provisioned / "kits" / SITE_A / "local/authorization.json"
        file.write_text(file.read_text(encoding="utf-8").replace('"byoc": "none"', '"byoc": "any"'))

        with pytest.raises(KitError) as caught:
            verify_kit(file.parents[1])

        assert (caught.value.code, caught.value.file) == ("MS-K002", str(file))


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


class TestAgain:
    def test_nothing_changes(self, provisioned: Path) -> None:
        before = _files(provisioned)

        again = provision(federation(), provisioned)

        assert set(again.outcomes.values()) == {"unchanged"}
        assert _files(provisioned / "kits") == {
            name.removeprefix("kits/"): content
            for name, content in before.items()
            if name.startswith("kits/")
        }

    def test_a_new_site_leaves_the_others_as_they_are(self, provisioned: Path) -> None:
        kits = provisioned / "kits"
        certificate = _certificate(kits / OPERATOR)
        before = _files(kits)

        more = provision(federation(sites=[*DOCUMENT["sites"], SITE_C]), provisioned)

        assert more.outcomes == {
            SERVER: "unchanged",
            SITE_A: "unchanged",
            SITE_B: "unchanged",
            "hospital-c": "new",
            OPERATOR: "changed",
            LEAD: "changed",
        }
        after = _files(kits)
        changed = {name for name in before if before[name] != after[name]}
        assert changed == {f"{name}{end}" for name in (OPERATOR, LEAD) for end in ("/kit.json", ".tar.gz")}
        assert load_kit(kits / OPERATOR).sites == (SITE_A, SITE_B, "hospital-c")
        assert _certificate(kits / OPERATOR) == certificate

    def test_a_new_image_keeps_the_certificates(self, provisioned: Path) -> None:
        before = _certificate(provisioned / "kits" / SITE_A)

        done = provision(federation(images={"sites": "mediswarm/cifar10:2"}), provisioned)

        assert set(done.outcomes.values()) == {"changed"}
        assert load_kit(provisioned / "kits" / SITE_A).image == "mediswarm/cifar10:2"
        assert _certificate(provisioned / "kits" / SITE_A) == before

    def test_a_lost_or_tampered_kit_is_made_again_with_its_certificate(self, provisioned: Path) -> None:
        kits = provisioned / "kits"
        before = _files(kits / SITE_A)
        (kits / SITE_A / "README.md").write_text("changed", encoding="utf-8")

        done = provision(federation(), provisioned)

        assert done.outcomes[SITE_A] == "changed"
        after = _files(kits / SITE_A)
        assert {name for name in before if before[name] != after[name]} <= {"kit.json"}

    def test_a_removed_site_is_reported_while_its_certificate_is_valid(self, provisioned: Path) -> None:
        done = provision(federation(sites=DOCUMENT["sites"][:1]), provisioned)

        assert [gone.name for gone in done.removed] == [SITE_B]
        assert done.removed[0].expires == _certificate(provisioned / "kits" / SITE_B).not_valid_after_utc

    def test_renewing_one_certificate(self, provisioned: Path) -> None:
        kits = provisioned / "kits"
        before = {name: _certificate(kits / name) for name in EVERYONE}

        done = provision(federation(), provisioned, renew=[SITE_A])

        assert done.outcomes == dict.fromkeys(EVERYONE, "unchanged") | {SITE_A: "changed"}
        after = {name: _certificate(kits / name) for name in EVERYONE}
        assert [name for name in EVERYONE if before[name] != after[name]] == [SITE_A]
        assert after[SITE_A].public_key() != before[SITE_A].public_key()

    def test_a_new_generation_shares_nothing_with_the_old(self, provisioned: Path) -> None:
        old = load_kit(provisioned / "kits" / SITE_A).generation
        renamed = DOCUMENT["server"] | {"name": "other.example.org"}

        done = provision(federation(server=renamed), provisioned, new_generation=True)

        assert done.generation != old
        assert set(done.outcomes.values()) == {"new"}
        verify_kit(provisioned / f"kits-{old}" / SITE_A)
        assert (provisioned / f"state-{old}").is_dir()


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "the server's name": (
        {"server": DOCUMENT["server"] | {"name": "other.example.org"}},
        "MS-F010",
        "'server.example.org' and is now 'other.example.org'",
    ),
    "the federation's name": ({"name": "other"}, "MS-F010", "federation 'demo', not 'other'"),
    "the authority's validity": (
        {"validity": {"authority_days": 2000}},
        "MS-F010",
        "was 1000 and is now 2000",
    ),
    "a site's organisation": (
        {"sites": [DOCUMENT["sites"][0] | {"organisation": "moved"}, DOCUMENT["sites"][1]]},
        "MS-F011",
        "hospital-a was of organisation 'hospital_a'",
    ),
    "an admin's role": (
        {"admins": [DOCUMENT["admins"][0], DOCUMENT["admins"][1] | {"role": "member"}]},
        "MS-F011",
        "had role 'lead' and now has 'member'",
    ),
    "who makes the key": (
        {"sites": [DOCUMENT["sites"][0] | {"own_key": True}, DOCUMENT["sites"][1]]},
        "MS-F011",
        "private key of hospital-a",
    ),
}


class TestRefused:
    @pytest.mark.parametrize("case", REFUSED)
    def test_what_stands_on_certificates_cannot_change(self, case: str, provisioned: Path) -> None:
        sections, code, words = REFUSED[case]
        before = _files(provisioned)

        with pytest.raises(FederationError) as caught:
            provision(federation(**sections), provisioned)

        assert caught.value.code == code
        assert words in caught.value.message
        assert _files(provisioned) == before

    def test_the_change_goes_with_a_new_certificate(self, provisioned: Path) -> None:
        sections, _, _ = REFUSED["an admin's role"]

        done = provision(federation(**sections), provisioned, renew=[LEAD])

        assert done.outcomes[LEAD] == "changed"

    def test_renewing_nobody(self, provisioned: Path) -> None:
        with pytest.raises(FederationError) as caught:
            provision(federation(), provisioned, renew=["hospital-z"])

        assert caught.value.code == "MS-F013"

    def test_an_open_state_folder(self, provisioned: Path) -> None:
        (provisioned / "state").chmod(0o755)

        with pytest.raises(FederationError) as caught:
            provision(federation(), provisioned)

        assert caught.value.code == "MS-F015"

    def test_two_at_once(self, tmp_path: Path) -> None:
        """Real processes: the second is told so, and the first goes on undisturbed."""
        file, out = tmp_path / "federation.yml", tmp_path / "out"
        file.write_text(yaml.safe_dump(DOCUMENT), encoding="utf-8")
        arguments = ["provision", str(file), "--out", str(out)]
        first = subprocess.Popen(
            [sys.executable, "-c", PAUSES, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        assert first.stderr is not None
        assert first.stderr.readline() == "at work\n"
        command = [sys.executable, "-c", "from mediswarm.cli import main; main()", *arguments]
        second = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, check=False)
        _, said = first.communicate("go on\n", timeout=60)

        assert (second.returncode, "error[MS-F017]" in second.stderr) == (11, True), second.stderr
        assert first.returncode == 0, said
        assert provision(federation(), out).outcomes == dict.fromkeys(EVERYONE, "unchanged")

    def test_a_damaged_state(self, provisioned: Path) -> None:
        (provisioned / "state/demo/state/cert.json").write_text("{}", encoding="utf-8")

        with pytest.raises(FederationError) as caught:
            provision(federation(), provisioned)

        assert caught.value.code == "MS-F015"

    def test_an_expired_authority(self, provisioned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from mediswarm.provision import changes

        class InFourYears(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:
                return datetime.now(tz) + timedelta(days=4 * 365)

        monkeypatch.setattr(changes, "datetime", InFourYears)

        with pytest.raises(FederationError) as caught:
            provision(federation(), provisioned)

        assert caught.value.code == "MS-F016"

    def test_a_failure_within_nvflare_is_told_without_its_traceback(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("no space for the certificate")

        monkeypatch.setattr(provisioning.LocalFiles, "build", fail)

        with pytest.raises(FederationError) as caught:
            provision(federation(), tmp_path / "out")

        assert caught.value.code == "MS-F012"
        assert "no space for the certificate" in caught.value.message
        assert capfd.readouterr() == ("", "")


def test_expiry(provisioned_once: Path) -> None:
    kit = load_kit(provisioned_once / "kits" / SITE_A)
    day = 24 * 3600

    assert expires_within(kit, 101 * day)
    assert not expires_within(kit, 98 * day)
