"""Codes of contracts, runs and artefacts."""

from __future__ import annotations

from mediswarm.error_codes.code import ErrorCode

CODES: dict[str, ErrorCode] = {
    # the contract between sites
    "MS-C001": ErrorCode(
        "Sites differ in the data contract",
        "Bring the site's data or image to what the job declares; the message says which value differs.",
    ),
    "MS-C002": ErrorCode(
        "Sites run different versions",
        "Give every site the same image; the message says which version differs.",
    ),
    "MS-C003": ErrorCode(
        "Weights do not fit the model",
        "Start every site from the same job; a model of another architecture cannot be loaded.",
    ),
    "MS-C004": ErrorCode(
        "The metric is not reported by every site",
        "Use a metric that the pipeline reports; update sites with an older pipeline.",
    ),
    "MS-C005": ErrorCode(
        "Contributions cannot be weighted as the job asks",
        "Use workflow.weights: cases, or a pipeline that counts events.",
    ),
    "MS-C006": ErrorCode(
        "Sites trained from different models",
        "Start the run again; if it recurs, a site runs another version: compare `mediswarm doctor` reports.",
    ),
    "MS-C007": ErrorCode(
        "The site has not accepted this job",
        "At the site: read the job, and add its hash to the accepted ones if you agree.",
    ),
    # runs
    "MS-R001": ErrorCode(
        "Something unforeseen happened at a site",
        "The traceback is in the log at the site, and only there; send its last lines to the developers.",
    ),
    "MS-R002": ErrorCode(
        "A round or the start fell below its quorum",
        "See each missing site's log (`logs/<SITE>.log` in a simulation); mend it, or lower the quorum.",
    ),
    "MS-R003": ErrorCode(
        "The model did not change",
        "Check learning rate and local work; a run that learns nothing is not a success.",
    ),
    "MS-R004": ErrorCode(
        "Training diverged: an update holds NaN or infinity",
        "Lower training.optimizer.lr or set training.gradient_clip.",
    ),
    "MS-R005": ErrorCode(
        "The round budget ended before the site answered",
        "Raise workflow.round_budget, or give the slow site less local work.",
    ),
    "MS-R006": ErrorCode(
        "A site's process died", "See the site's log; a site that ran out of memory needs a smaller batch."
    ),
    "MS-R007": ErrorCode(
        "The run was stopped", "Start it again when you wish; nothing of it is running any more."
    ),
    "MS-R008": ErrorCode("The federation engine ended the run", "See the server's log in the run directory."),
    "MS-R009": ErrorCode(
        "The selection metric is undefined at every site",
        "Give the sites validation cases of at least two classes (survival: with events), or select by "
        "another metric; where earlier rounds had a number, the model has diverged: lower "
        "training.optimizer.lr.",
    ),
    # artefacts
    "MS-A001": ErrorCode(
        "The checkpoint's description is missing or unreadable",
        "Keep model.safetensors and model.json together; copy both again.",
    ),
    "MS-A002": ErrorCode(
        "The checkpoint is of another architecture or job",
        "Load it with the job it was trained by; its description names it.",
    ),
    "MS-A003": ErrorCode(
        "The checkpoint's bytes are not those described", "The file was changed or truncated; copy it again."
    ),
    "MS-A004": ErrorCode(
        "The state of a run cannot be gone on with",
        "Submit the job as a new run; the models of the old one stay where they are.",
    ),
}
