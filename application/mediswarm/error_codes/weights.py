"""Codes of pretrained weights."""

from __future__ import annotations

from mediswarm.error_codes.code import ErrorCode

CODES: dict[str, ErrorCode] = {
    "MS-G001": ErrorCode(
        "Weights are not in a safetensors file",
        "Where you trust their source, load them with torch.load(…, weights_only=True) and save the tensors "
        "with safetensors.torch.save_file.",
    ),
    "MS-G002": ErrorCode(
        "Weights have another SHA-256 than the one named",
        "Fetch the file again from its source; never change the digest to fit a file that you do not know.",
    ),
    "MS-G003": ErrorCode(
        "The pretrained weights are not in the weights store",
        "Run `mediswarm weights add` on the machine that makes the first model: the server, or this one.",
    ),
    "MS-G004": ErrorCode(
        "Pretrained weights do not fit the model",
        "Correct pretrained.names or .prefixes, or the backbone's settings; `mediswarm job show JOB "
        "--tensors` lists the model's names and shapes.",
    ),
    "MS-G005": ErrorCode(
        "A name for weights cannot be used",
        "Use letters, digits, `.`, `-` and `_`, starting with a letter or digit, at most 63.",
    ),
    "MS-G006": ErrorCode(
        "Pretrained weights are for tensors that stay at the sites",
        "Federate these tensors, or map only the others in pretrained.prefixes; with batch_norm, use group "
        "or federate.",
    ),
}
