"""Codes of federation files, provisioning and startup kits."""

from __future__ import annotations

from mediswarm.error_codes.code import ErrorCode

CODES: dict[str, ErrorCode] = {
    # federation files
    "MS-F001": ErrorCode(
        "The federation file cannot be read",
        "Give the path of a federation file; application/provision/demo.yml is an example.",
    ),
    "MS-F002": ErrorCode(
        "The federation file is not valid YAML",
        "Correct the YAML at the line named; indentation is by spaces.",
    ),
    "MS-F003": ErrorCode(
        "Unknown key in a federation file",
        "Remove the key or correct its spelling; docs/operator.md lists every key.",
    ),
    "MS-F004": ErrorCode(
        "A required key of a federation file is missing",
        "Add the key; application/provision/demo.yml has all.",
    ),
    "MS-F005": ErrorCode(
        "A value in a federation file has the wrong type or cannot be used",
        "Give a value as the message says.",
    ),
    "MS-F006": ErrorCode(
        "Two settings of a federation file contradict each other",
        "Change one of the settings named; a name is given to one participant only.",
    ),
    "MS-F007": ErrorCode(
        "The same key stands twice in a federation file",
        "Keep one of the two; YAML would silently use the last.",
    ),
    # provisioning
    "MS-F010": ErrorCode(
        "What all kits have in common was changed",
        "Undo the change, or use --new-generation; every participant then needs a new kit.",
    ),
    "MS-F011": ErrorCode(
        "A certificate says something else than the federation file",
        "Undo the change, or make a new certificate with --renew NAME and hand out the new kit.",
    ),
    "MS-F012": ErrorCode(
        "NVFlare's provisioning failed",
        "Read the message; the folder of the federation is as it was before.",
    ),
    "MS-F013": ErrorCode(
        "A participant is named that the federation file does not hold",
        "Use a name of the federation file, or add the participant to it first.",
    ),
    "MS-F014": ErrorCode(
        "A certificate request cannot be approved",
        "Ask the participant for a new request, made with `mediswarm kit request`.",
    ),
    "MS-F015": ErrorCode(
        "The folder of the federation cannot be read or written",
        "Check its owner and permissions, and that the disk is not full.",
    ),
    "MS-F016": ErrorCode(
        "The federation's certificate authority has expired",
        "Use --new-generation; every participant then needs a new kit.",
    ),
    "MS-F017": ErrorCode(
        "Another process makes kits in this folder",
        "Wait for its end, and run the command again.",
    ),
    # startup kits
    "MS-K001": ErrorCode(
        "A startup kit has no readable manifest",
        "Unpack the kit's archive again, whole, and point to the folder that holds kit.json.",
    ),
    "MS-K002": ErrorCode(
        "A file of a startup kit is missing or was changed",
        "Unpack the kit's archive again; if it still differs, ask the operator for the kit.",
    ),
    "MS-K003": ErrorCode(
        "A startup kit has expired",
        "Renew it: `mediswarm provision FILE --renew NAME`, and hand out the new kit.",
    ),
    "MS-K004": ErrorCode(
        "The private key does not belong to the kit's certificate",
        "Use the key that was made together with the request the operator approved.",
    ),
    "MS-K005": ErrorCode(
        "The file is no archive of a startup kit",
        "Use the NAME.tar.gz that the operator sent, as it is.",
    ),
}
