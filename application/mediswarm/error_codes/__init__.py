"""The table of error codes: what each means and how it is resolved.

``docs/errors.md`` is generated from this table (``scripts/build/generate_docs.py``);
a test fails when a code is raised that is not here, or is here and never raised.

Series: U usage, J job file, P pipeline, D data, C contract, R run, A artefact, E evaluation,
H host, F federation file and provisioning, K startup kit, I image, N node, S session and supervisor,
G pretrained weights, X preparation of images, B bags of features.
"""

from __future__ import annotations

from mediswarm.error_codes import (
    bag_tasks,
    bags,
    data,
    evaluation,
    federation,
    host,
    image,
    job,
    node,
    prepare,
    run,
    session,
    weights,
)
from mediswarm.error_codes.code import ErrorCode

__all__ = ["ERROR_CODES", "ErrorCode"]

ERROR_CODES: dict[str, ErrorCode] = (
    job.CODES
    | data.CODES
    | run.CODES
    | evaluation.CODES
    | host.CODES
    | federation.CODES
    | image.CODES
    | node.CODES
    | session.CODES
    | weights.CODES
    | prepare.CODES
    | bags.CODES
    | bag_tasks.CODES
)
