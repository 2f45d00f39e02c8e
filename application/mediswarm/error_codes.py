"""The table of error codes: what each means and how it is resolved.

``docs/errors.md`` is generated from this table (``mediswarm doctor --error-codes``);
a test fails when a code is raised that is not here, or is here and never raised.

Series: J job file, P pipeline, D data, C contract, R run, A artefact, H host, U usage.
"""

from __future__ import annotations

from typing import NamedTuple


class ErrorCode(NamedTuple):
    title: str
    resolve: str


ERROR_CODES: dict[str, ErrorCode] = {
    # usage
    "MS-U001": ErrorCode(
        "A path given on the command line does not exist",
        "Check the path for typing errors; relative paths start at the current directory.",
    ),
    "MS-U002": ErrorCode(
        "A site was named that the data directory does not hold",
        "Use one of the site names listed in the message, or add a folder of that name to the data directory.",
    ),
    "MS-U003": ErrorCode(
        "The target already exists",
        "Choose another name or directory, or remove the existing one first.",
    ),
    "MS-U004": ErrorCode(
        "A required option is missing or contradicts another",
        "Run the command with --help to see its options.",
    ),
    # job files
    "MS-J001": ErrorCode(
        "The job file cannot be read",
        "Give the path of a job folder or job.yml, or a name from `mediswarm job list`.",
    ),
    "MS-J002": ErrorCode(
        "The job file is not valid YAML", "Correct the YAML at the line named; indentation is by spaces."
    ),
    "MS-J003": ErrorCode(
        "Unknown key", "Remove the key or correct its spelling; `mediswarm job schema` lists every key."
    ),
    "MS-J004": ErrorCode(
        "A required key is missing", "Add the key; `mediswarm job new` writes a complete example."
    ),
    "MS-J005": ErrorCode(
        "A value has the wrong type or is out of range", "Give a value as the message says."
    ),
    "MS-J006": ErrorCode("Two settings contradict each other", "Change one of the two settings named."),
    "MS-J007": ErrorCode(
        "A file the job refers to is missing", "Put the file beside job.yml or correct its name."
    ),
    "MS-J008": ErrorCode(
        "The same key stands twice", "Keep one of the two; YAML would silently use the last."
    ),
    "MS-J009": ErrorCode(
        "The pipeline's config section is not valid",
        "Correct the key under `config:`; `mediswarm job show` prints the accepted ones.",
    ),
    "MS-J010": ErrorCode(
        "The selection metric is not one the pipeline reports",
        "Use one of the metrics listed in the message.",
    ),
    "MS-J011": ErrorCode(
        "The job refers to a file outside its own folder",
        "Copy the file into the job's folder; a job is one folder.",
    ),
    # pipelines
    "MS-P001": ErrorCode(
        "No pipeline of this name",
        "Use a built-in name, install the package that provides it, or write `./pipeline.py` for a file in the job.",
    ),
    "MS-P002": ErrorCode(
        "The pipeline file cannot be loaded",
        "Run the file with Python to see what fails; it must define exactly one Pipeline.",
    ),
    "MS-P003": ErrorCode(
        "The pipeline breaks the pipeline interface",
        "See docs/developer.md; `mediswarm job test PATH` checks every rule.",
    ),
    # data, of any kind
    "MS-D001": ErrorCode("A check of the site's data failed", "Run `mediswarm check` to see every finding."),
    "MS-D002": ErrorCode(
        "The site's data folder is missing",
        "Point --data at the directory that holds one folder for each site.",
    ),
    "MS-D003": ErrorCode(
        "A split has no cases", "Give the site cases for training and validation, or leave it out of the run."
    ),
    # data: tables and volumes
    "MS-D101": ErrorCode(
        "A table cannot be read",
        "Save the table as CSV UTF-8 or .xlsx at the path named, readable for the account.",
    ),
    "MS-D102": ErrorCode(
        "The header of a table is not as required", "Name the columns as the message says, each once."
    ),
    "MS-D103": ErrorCode(
        "A row of a table cannot be read", "Give the row named one cell for each column of the header."
    ),
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
    # runs
    "MS-R001": ErrorCode(
        "Something unforeseen happened at a site",
        "The traceback is in the log at the site, and only there; send its last lines to the developers.",
    ),
    "MS-R002": ErrorCode(
        "A round or the start fell below its quorum",
        "See the run record for the reason of each exclusion; mend the sites or lower the quorum.",
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
        "Give the sites validation cases of at least two classes, or select by another metric.",
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
    # host
    "MS-H001": ErrorCode("The scratch directory cannot be written", "Choose a writable --scratch directory."),
    "MS-H002": ErrorCode(
        "The device asked for is not there",
        "Run `mediswarm doctor` to see what torch finds; use --device cpu.",
    ),
    "MS-H003": ErrorCode(
        "Out of memory", "Lower training.batch_size and raise training.accumulate by the same factor."
    ),
    "MS-H004": ErrorCode("The disk is full", "Free space at the path named; the last good model is intact."),
}
