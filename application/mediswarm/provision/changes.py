"""What of a federation file may change after the first provisioning, and what may not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from mediswarm.errors import FederationError
from mediswarm.provision.authority import Authority
from mediswarm.spec.federation import Admin, Federation, FederationSite, Server


@dataclass(frozen=True)
class Removed:
    """A participant that is no longer in the file, while its certificate is still valid."""

    name: str
    expires: datetime


def require_compatible(federation: Federation, authority: Authority) -> None:
    """What stands on certificates has to stay as it is.

    Raises:
        FederationError: MS-F010 when all kits would change, MS-F011 when one certificate says
            something else than the file, MS-F016 when the root has expired.
    """
    if authority.federation is None:
        return
    if authority.federation != federation.name:
        raise FederationError(
            "MS-F010",
            f"this folder holds federation {authority.federation!r}, not {federation.name!r}",
            repair="Choose another --out, or undo the change of the federation's name.",
            file=authority.folder,
        )
    if authority.server != federation.server.name:
        raise FederationError(
            "MS-F010", f"the server's name was {authority.server!r} and is now {federation.server.name!r}"
        )
    root = authority.root
    if root.not_valid_after_utc <= datetime.now(timezone.utc):
        raise FederationError("MS-F016", f"it was valid until {root.not_valid_after_utc:%Y-%m-%d}")
    days = (root.not_valid_after_utc - root.not_valid_before_utc).days
    if days != federation.validity.authority_days:
        raise FederationError(
            "MS-F010",
            f"validity.authority_days was {days} and is now {federation.validity.authority_days}",
        )
    for member in federation.members:
        _require_same_certificate(member, authority)


def removed_members(federation: Federation, authority: Authority) -> list[Removed]:
    """Participants with a valid certificate that the file no longer holds."""
    now = datetime.now(timezone.utc)
    gone = [said for name, said in authority.issued.items() if name not in federation.participants]
    return [Removed(said.name, said.expires) for said in gone if said.expires > now]


def _require_same_certificate(member: Server | FederationSite | Admin, authority: Authority) -> None:
    name, organisation = member.name, member.organisation
    said = authority.issued.get(name)
    if said is None:
        return
    if said.organisation != organisation:
        raise FederationError(
            "MS-F011", f"{name} was of organisation {said.organisation!r} and is now of {organisation!r}"
        )
    if isinstance(member, Admin) and said.role != member.role:
        raise FederationError("MS-F011", f"{name} had role {said.role!r} and now has {member.role!r}")
    if isinstance(member, Server):
        return
    key_is_here = "pri_key" in authority.content[name]
    if key_is_here == member.own_key:
        now = "makes its own" if key_is_here else "gets it from the operator"
        raise FederationError("MS-F011", f"the private key of {name}: the federation file says it {now} now")
