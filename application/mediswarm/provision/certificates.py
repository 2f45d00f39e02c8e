"""Certificates: valid as long as the federation says, and each good for one purpose."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from nvflare.lighter.constants import CertFileBasename, CtxKey, ParticipantType, PropKey
from nvflare.lighter.ctx import ProvisionContext
from nvflare.lighter.entity import Participant
from nvflare.lighter.impl.cert import CertBuilder
from nvflare.lighter.utils import Identity, generate_cert, generate_keys, serialize_cert, serialize_pri_key

from mediswarm.provision.project import OWN_KEY

_CLOCK_DIFFERENCE = timedelta(hours=1)
"""Certificates begin this long ago: clocks of hospitals differ, and a kit is to work at once."""


class ParticipantCertificates(CertBuilder):
    """NVFlare's certificate builder, with three changes.

    NVFlare 2.9 gives participants 360 days whatever the root's validity is; it issues
    certificates without a purpose, so that a site's would pass for a server's; and it
    makes every private key itself.

    Args:
        authority_days: validity of the root certificate.
        participant_days: validity of new certificates of participants, cut at the root's end.
    """

    def __init__(self, authority_days: int, participant_days: int) -> None:
        super().__init__(root_valid_days=authority_days)
        self.participant_days = participant_days

    def get_pri_key_cert(self, participant: Participant) -> tuple[Any, x509.Certificate]:
        """A new key and its certificate; called by NVFlare for a participant without one."""
        private_key, public_key = generate_keys()
        certificate = issue(
            participant, public_key, root=self.root_cert, root_key=self.pri_key, days=self.participant_days
        )
        return private_key, certificate

    def _build_write_cert_pair(self, participant: Participant, base_name: str, ctx: ProvisionContext) -> None:
        if not participant.get_prop(OWN_KEY):
            super()._build_write_cert_pair(participant, base_name, ctx)
            return
        folder = Path(ctx.get_kit_dir(participant))
        certificate = self.persistent_state.get_subject_cert(participant.subject)
        (folder / f"{CertFileBasename.CLIENT}.crt").write_text(certificate, encoding="ascii")
        (folder / "rootCA.pem").write_bytes(self.serialized_cert)


def new_root(federation: str, days: int) -> dict[str, str]:
    """A new root certificate and its key, in the form of NVFlare's state.

    Args:
        federation: name on the certificate.
        days: validity.
    """
    private_key, public_key = generate_keys()
    certificate = generate_cert(
        subject=Identity(federation),
        issuer=Identity(federation),
        signing_pri_key=private_key,
        subject_pub_key=public_key,
        valid_days=days,
        ca=True,
        not_valid_before=datetime.now(timezone.utc) - _CLOCK_DIFFERENCE,
    )
    return {
        CtxKey.ROOT_CERT: serialize_cert(certificate).decode("ascii"),
        CtxKey.ROOT_PRI_KEY: serialize_pri_key(private_key).decode("ascii"),
    }


def issue(
    participant: Participant, public_key: Any, *, root: x509.Certificate, root_key: Any, days: int
) -> x509.Certificate:
    """A certificate for `participant` over `public_key`.

    Args:
        participant: whose name, organisation and role it carries.
        public_key: the participant's.
        root: the federation's root certificate.
        root_key: its private key.
        days: validity, cut at the root's end.
    """
    begin = max(datetime.now(timezone.utc) - _CLOCK_DIFFERENCE, root.not_valid_before_utc)
    is_server = participant.type == ParticipantType.SERVER
    # a site's certificate cannot be shown by a server: no site can pose as the server
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH] + [ExtendedKeyUsageOID.SERVER_AUTH] * is_server
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=True,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    role = participant.get_prop(PropKey.ROLE) if participant.type == ParticipantType.ADMIN else None
    issuer = root.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
    certificate: x509.Certificate = generate_cert(
        subject=Identity(participant.subject, participant.org, role),
        issuer=Identity(issuer),
        signing_pri_key=root_key,
        subject_pub_key=public_key,
        server_default_host=participant.get_default_host() if is_server else None,
        not_valid_before=begin,
        not_valid_after=min(begin + timedelta(days=days), root.not_valid_after_utc),
        extra_extensions=[
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (usage, True),
            (x509.ExtendedKeyUsage(purposes), False),
        ],
    )
    return certificate
