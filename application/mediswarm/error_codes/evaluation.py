"""Codes of evaluation."""

from __future__ import annotations

from mediswarm.error_codes.code import ErrorCode

CODES: dict[str, ErrorCode] = {
    # evaluation
    "MS-E001": ErrorCode(
        "A predictions file cannot be read",
        "Evaluate again, so that the site writes the file anew.",
    ),
    "MS-E002": ErrorCode(
        "A predictions file has other columns than the pipeline's classes ask for",
        "Evaluate it with the job that wrote it; classes and their order must be the same.",
    ),
    "MS-E003": ErrorCode(
        "Predictions are not probabilities",
        "Check that the model did not diverge and that the pipeline's predict() returns probabilities; "
        "do not edit the file by hand.",
    ),
    "MS-E004": ErrorCode(
        "A target in a predictions file is not a class index",
        "Evaluate with the job that wrote the file; targets count from 0 in the order of its classes.",
    ),
    "MS-E005": ErrorCode(
        "A case stands twice in a predictions file",
        "Give the case one id in one split; then evaluate again.",
    ),
    "MS-E006": ErrorCode(
        "Two models were judged on different cases",
        "Evaluate both models on the same split of the same data; then compare again.",
    ),
    "MS-E007": ErrorCode(
        "The same result stands twice",
        "Give each site, method and metric once; remove the superseded evaluation.",
    ),
    "MS-E008": ErrorCode(
        "A run directory holds no successful run",
        "Give the directory of a run that succeeded; the error of one that did not stands in its run.json.",
    ),
    # slides
    "MS-E009": ErrorCode(
        "A patient is not among those that the site can use",
        "Write the id as the clinical table does; `mediswarm check` says who is not used, and why.",
    ),
    "MS-E010": ErrorCode(
        "Nothing says where the tiles of a slide lie, so that there is no map of them",
        "Extract the slide's tiles with coordinates, and train on tile features.",
    ),
    "MS-E011": ErrorCode(
        "OpenSlide is not installed",
        "Install the extra `mediswarm[openslide]`, or leave --slides out.",
    ),
    "MS-E012": ErrorCode(
        "A whole-slide image is missing, or cannot be read",
        "Put the image into the folder of --slides, named as the feature file, or leave --slides out.",
    ),
    "MS-E013": ErrorCode(
        "A whole-slide image does not say how large its pixels are",
        "Pass --mpp, the size of a pixel in µm at the highest magnification.",
    ),
    "MS-E014": ErrorCode(
        "Nothing says which patients the model was trained on, so that they could be judged by mistake",
        "Name the run directory that holds the site's predictions, or give --scratch of the training; "
        "--split all is for a site that the model was not trained on.",
    ),
}
