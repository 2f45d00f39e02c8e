"""What was changed, and who has the wrong time: R22 and R24."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from tests.federation import Federation, frozen, until

from mediswarm.provision.authority import Authority, load_authority
from mediswarm.spec.digest import sha256_of_file

pytestmark = pytest.mark.processes


def test_a_changed_file_of_a_kit_is_named(federation: Federation, tmp_path: Path) -> None:
    """R22: whoever gave a site more rights in its kit is found out before anything is connected."""
    kit = tmp_path / "site-1"
    shutil.copytree(federation.kits / "site-1", kit)
    policy = kit / "local" / "authorization.json"
    policy.write_text(policy.read_text().replace("none", "any"))
    federation.launch("changed", kit)
    try:
        until(lambda: federation.state("changed").get("state") == "refused", 30, "the node refuses")
        assert federation.state("changed")["error"]["code"] == "MS-K002"
        assert f"error[MS-K002] {policy}" in federation.log("changed")
        assert len(federation.processes_of("changed")) == 1
    finally:
        federation.kill("changed")


def test_a_job_changed_on_the_server_is_refused(
    federation: Federation, gates: Any, gated_job: Callable[..., Path]
) -> None:
    """R22: what the operator signed is what runs; other bytes are not."""
    store = federation.scratch(federation.server) / "workspace" / "jobs-storage"
    before = set(store.glob("*"))
    run = federation.submit(gated_job())
    (stored,) = until(lambda: set(store.glob("*")) - before, 60, "the server has the job")
    with frozen(federation.processes_of(federation.server)):
        change_member(stored / "data", "pipeline.py", b"\nraise SystemExit\n")
    record = federation.ended(run)
    assert record == {}, "nothing of it was run"
    error = federation.run(run).error
    assert error is not None
    assert error["code"] == "MS-S020"
    assert f"NVFlare job {stored.name} of segment 0: server: " in error["message"]
    assert all(gates.begun(site) == [] for site in federation.sites)


def change_member(archive: Path, name: str, more: bytes) -> None:
    """Append to one file of a ZIP archive."""
    with zipfile.ZipFile(archive) as old:
        content = {entry: old.read(entry) for entry in old.namelist() if not entry.endswith("/")}
    (found,) = (entry for entry in content if entry.endswith(f"/{name}"))
    content[found] += more
    with zipfile.ZipFile(archive, "w") as new:
        for entry, data in content.items():
            new.writestr(entry, data)


def test_a_wrong_clock_is_said_to_be_the_clock(federation: Federation, tmp_path: Path) -> None:
    """R24: to a clock that is hours behind, every certificate is one of the future."""
    kit = tmp_path / "site-1"
    shutil.copytree(federation.kits / "site-1", kit)
    make_valid_later(kit, load_authority(federation.folder / "provisioned" / "state"), timedelta(hours=6))
    federation.launch("behind", kit)
    try:
        until(lambda: federation.state("behind").get("error"), 30, "the node has an error")
        assert federation.state("behind")["error"]["code"] == "MS-N006"
        assert "this machine's clock says" in federation.log("behind")
        assert federation.state("behind")["state"] == "connecting", "a clock can be set while the node waits"
    finally:
        federation.kill("behind")
    checked = federation.cli("preflight", "--kit", kit, "--scratch", tmp_path)
    assert checked.returncode == 10
    assert "MS-N006" in checked.stdout


def make_valid_later(kit: Path, authority: Authority, later: timedelta) -> None:
    """Put a certificate into a site's kit that begins so much later, signed by the federation's root."""
    file = kit / "startup" / "client.crt"
    old = x509.load_pem_x509_certificate(file.read_bytes())
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.issuer)
        .public_key(old.public_key())
        .serial_number(old.serial_number)
        .not_valid_before(datetime.now(timezone.utc) + later)
        .not_valid_after(old.not_valid_after_utc)
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    file.write_bytes(builder.sign(authority.root_key, SHA256()).public_bytes(Encoding.PEM))
    manifest = json.loads((kit / "kit.json").read_text())
    manifest["files"]["startup/client.crt"] = sha256_of_file(file)
    (kit / "kit.json").write_text(json.dumps(manifest))
