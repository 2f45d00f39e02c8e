"""The Docker engine, as the account that asks may use it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from docker import DockerClient
from docker.errors import DockerException

from mediswarm.errors import ImageError

_SILENCE = 1800
"""Seconds that the engine may say nothing; installing CUDA's libraries takes a while."""


@contextmanager
def docker_engine() -> Iterator[DockerClient]:
    """A client of the engine that `DOCKER_HOST` names, or of the local one.

    Raises:
        ImageError: MS-I001 when none answers.
    """
    try:
        client = DockerClient.from_env(timeout=_SILENCE)
    except DockerException as error:
        raise ImageError("MS-I001", _reason(error)) from error
    try:
        try:
            client.ping()
        except (DockerException, OSError) as error:
            raise ImageError("MS-I001", _reason(error)) from error
        yield client
    finally:
        client.close()


def _reason(error: Exception) -> str:
    text = str(error)
    if "Permission denied" in text:
        return "the Docker engine refuses this account"
    return "there is no Docker engine, or it does not answer"
