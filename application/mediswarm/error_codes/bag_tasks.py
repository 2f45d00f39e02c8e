"""Codes of what the tasks of bags ask of a patient's row."""

from __future__ import annotations

from mediswarm.error_codes.code import ErrorCode

CODES: dict[str, ErrorCode] = {
    "MS-B050": ErrorCode(
        "A patient's label, time or status is missing", "Fill the cell, or take the patient out of the table."
    ),
    "MS-B051": ErrorCode(
        "A patient's label is not one of the job's categories",
        "Write one of the categories, spelt as in the job.",
    ),
    "MS-B052": ErrorCode(
        "A patient's number is none",
        "Write a plain number with a decimal point, or take the patient out of the table.",
    ),
    "MS-B053": ErrorCode(
        "A patient's number is outside of the job's range",
        "Correct it, or convert the column to the job's unit.",
    ),
    "MS-B054": ErrorCode("A time of follow-up is below zero", "Correct the dates from which it was counted."),
    "MS-B055": ErrorCode(
        "A survival status cannot be told",
        "Write dead, event, yes or 1; or alive, censored, no or 0.",
    ),
    "MS-B056": ErrorCode(
        "Training batches are too small for the loss, which compares the cases of a batch",
        "Raise training.batch_size; the larger, the more cases are compared.",
    ),
}
