"""Images that are on this machine, and what the lists inside them say."""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any

from docker import DockerClient
from docker.errors import APIError, ImageNotFound, NotFound

from mediswarm.errors import ImageError

_LABEL = "org.opencontainers.image"
_LISTS = "/usr/share/mediswarm"
LICENCES = "licenses.json"
BILL = "sbom.cdx.json"


def images_here(client: DockerClient) -> list[dict[str, Any]]:
    """MediSwarm's images: tags, id, digests in registries, version, revision, creation and bytes."""
    found = client.images.list(filters={"label": f"{_LABEL}.title"})
    ours = [
        image for image in found if image.tags and image.labels[f"{_LABEL}.title"].startswith("MediSwarm")
    ]
    return [
        {
            "tags": image.tags,
            "id": image.id,
            "digests": image.attrs["RepoDigests"],
            "version": image.labels.get(f"{_LABEL}.version"),
            "revision": image.labels.get(f"{_LABEL}.revision"),
            "created": image.attrs["Created"],
            "bytes": image.attrs["Size"],
        }
        for image in sorted(ours, key=lambda image: str(image.tags[0]))
    ]


def list_inside(client: DockerClient, image: str, name: str) -> Any:
    """A JSON list that the build wrote into an image; nothing of the image is run.

    Raises:
        ImageError: MS-I004 when there is no such image here, or it is none of MediSwarm's.
    """
    try:
        container = client.containers.create(image)
    except ImageNotFound as error:
        raise ImageError("MS-I004", f"there is no image {image} on this machine") from error
    except APIError as error:
        raise ImageError("MS-I004", f"the image {image} cannot be read: {error.explanation}") from error
    try:
        chunks, _ = container.get_archive(f"{_LISTS}/{name}")
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            file = archive.extractfile(name)
            if file is not None:
                return json.load(file)
    except NotFound as error:
        raise ImageError("MS-I004", f"the image {image} holds no {_LISTS}/{name}") from error
    finally:
        container.remove(force=True)
    raise ImageError("MS-I004", f"in the image {image}, {_LISTS}/{name} is no file")
