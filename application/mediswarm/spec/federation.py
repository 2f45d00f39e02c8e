"""The federation file: who takes part, where the server is, which images run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from typing_extensions import Self

from mediswarm.errors import FederationError
from mediswarm.spec.explain import explain
from mediswarm.spec.job import NAME_PATTERN
from mediswarm.spec.kit import ServerAddress
from mediswarm.spec.site_name import site_name_problem
from mediswarm.spec.strict import Strict
from mediswarm.spec.yaml_errors import FEDERATION_FILE
from mediswarm.spec.yaml_lines import read_yaml

_HOST_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"(?:{_HOST_LABEL}\.)*{_HOST_LABEL}")
_MOST_HOST = 64
"""Characters of a common name in X.509; NVFlare would cut a longer name off."""
_ORGANISATION = re.compile(r"[A-Za-z0-9_]{1,64}")
_ADMIN = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}")
_IMAGE = re.compile(
    rf"(?:{_HOST_LABEL}(?:\.{_HOST_LABEL})*(?::[0-9]{{1,5}})?/)?"  # registry
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
_NETWORK = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
_NO_NETWORK = ("host", "none", "bridge", "default", "container")

AdminRole = Literal["project_admin", "org_admin", "lead", "member"]


def _matching(text: str, pattern: re.Pattern[str], rule: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(rule)
    return text


class _Member(Strict):
    organisation: str = Field(description="who it belongs to: letters, digits and _")

    @field_validator("organisation")
    @classmethod
    def _organisation_can_be_carried(cls, value: str) -> str:
        return _matching(value, _ORGANISATION, "should hold only letters, digits and _, at most 64")


class Server(_Member):
    """The server: it sees weights and counts, no data."""

    name: str = Field(
        description="DNS name under which the sites reach the server; stands on its certificate"
    )
    port: int = Field(8002, gt=0, lt=65536, description="port for sites")
    admin_port: int | None = Field(
        None, gt=0, lt=65536, description="port for admins; that of the sites if left out"
    )

    @field_validator("name")
    @classmethod
    def _is_a_host(cls, value: str) -> str:
        if len(value) > _MOST_HOST:
            raise ValueError(f"should have at most {_MOST_HOST} characters, as it stands on a certificate")
        return _matching(value, _HOST, "should be a DNS name or an IPv4 address, without scheme and port")

    @property
    def address(self) -> ServerAddress:
        """Where the server is reached, as a startup kit says it."""
        return ServerAddress(name=self.name, port=self.port, admin_port=self.admin_port or self.port)


class FederationSite(_Member):
    """One hospital's node."""

    name: str = Field(description="the site's name in all records")
    own_key: bool = Field(False, description="the site makes its private key itself and sends a request")
    allow_job_code: bool = Field(False, description="the site runs jobs that bring code of their own")

    @field_validator("name")
    @classmethod
    def _can_be_carried(cls, value: str) -> str:
        problem = site_name_problem(value)
        if problem is not None:
            raise ValueError(f"{problem}; use letters, digits, - and _, starting with a letter, at most 63")
        return value


class Admin(_Member):
    """A person who starts runs or looks at them."""

    name: str = Field(description="an e-mail address; NVFlare knows admins by it")
    role: AdminRole = Field("project_admin", description="what the admin may do, as NVFlare defines it")
    own_key: bool = Field(False, description="the admin makes the private key and sends a request")

    @field_validator("name")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if len(value) > _MOST_HOST:
            raise ValueError(f"should have at most {_MOST_HOST} characters, as it stands on a certificate")
        return _matching(value, _ADMIN, "should be an e-mail address such as admin@example.org")


class Images(Strict):
    """Container images, by tag or better by digest."""

    sites: str = Field(description="what sites run: `name:tag` or `name@sha256:…`")
    server: str | None = Field(
        None, description="what the server and admins run; that of the sites if left out"
    )

    @field_validator("sites", "server")
    @classmethod
    def _is_a_reference(cls, value: str | None) -> str | None:
        if value is None:
            return None
        _matching(value, _IMAGE, "should be an image's `name:tag` or `name@sha256:` with 64 hex digits")
        if ":" not in value.rsplit("/", 1)[-1]:
            raise ValueError("should name a tag or a digest, such as mediswarm/cifar10:0.1.0")
        return value


class Validity(Strict):
    """For how long certificates are valid, from the day they are made."""

    authority_days: int = Field(
        3650, gt=0, le=36500, description="the certificate authority; not to be changed later"
    )
    participant_days: int = Field(730, gt=0, le=36500, description="server, sites and admins")

    @model_validator(mode="after")
    def _authority_outlives_participants(self) -> Self:
        if self.participant_days > self.authority_days:
            raise ValueError("contradiction: participant_days is more than authority_days")
        return self


class Federation(Strict):
    """What a federation file says."""

    name: str = Field(pattern=NAME_PATTERN, description="the federation's name")
    description: str = Field("", description="one sentence on what it is for")
    server: Server = Field(description="where the server is")
    sites: tuple[FederationSite, ...] = Field(min_length=1, description="the hospitals")
    admins: tuple[Admin, ...] = Field(min_length=1, description="who may start runs or look at them")
    images: Images = Field(description="container images")
    network: str | None = Field(None, description="name of a Docker network that all containers join")
    validity: Validity = Field(default_factory=Validity, description="validity of certificates")

    @field_validator("network")
    @classmethod
    def _is_a_network_of_its_own(cls, value: str | None) -> str | None:
        if value in _NO_NETWORK:
            raise ValueError("should be a Docker network made for the federation; the host's is never shared")
        return (
            value if value is None else _matching(value, _NETWORK, "should be the name of a Docker network")
        )

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        # folders of kits are named after participants, and some file systems ignore case
        seen: set[str] = set()
        for name in self.participants:
            if name.casefold() in seen:
                raise ValueError(f"contradiction: two participants are called {name!r}")
            seen.add(name.casefold())
        return self

    @model_validator(mode="after")
    def _someone_may_submit(self) -> Self:
        if not any(admin.role in {"project_admin", "lead"} for admin in self.admins):
            raise ValueError("contradiction: no admin has a role that may submit jobs (project_admin, lead)")
        return self

    @property
    def participants(self) -> list[str]:
        """Names of server, sites and admins, in this order."""
        return [self.server.name, *(site.name for site in self.sites), *(admin.name for admin in self.admins)]

    @property
    def site_names(self) -> tuple[str, ...]:
        """Names of the sites, as the file orders them."""
        return tuple(site.name for site in self.sites)

    @property
    def key_owners(self) -> list[FederationSite | Admin]:
        """Those who may make their own key: sites and admins."""
        return [*self.sites, *self.admins]

    @property
    def members(self) -> list[Server | FederationSite | Admin]:
        """Server, sites and admins, in this order."""
        return [self.server, *self.sites, *self.admins]


def load_federation(file: Path) -> Federation:
    """Read and validate a federation file.

    Raises:
        FederationError: MS-F001 to MS-F007, naming file, key, line and repair.
    """
    document, lines = read_yaml(file, FEDERATION_FILE)
    if not isinstance(document, dict):
        raise FederationError("MS-F005", "a federation is a mapping of keys to values", file=file, line=1)
    try:
        return Federation.model_validate(document)
    except ValidationError as error:
        raise explain(error, Federation, file, lines, errors=FEDERATION_FILE) from error
