"""The table of error codes: what each means and how it is resolved.

``docs/errors.md`` is generated from this table (``scripts/build/generate_docs.py``);
a test fails when a code is raised that is not here, or is here and never raised.

Series: J job file, P pipeline, D data, C contract, R run, A artefact, H host, U usage.
"""

from __future__ import annotations

from typing import NamedTuple


class ErrorCode(NamedTuple):
    """What went wrong, in a line, and what to do about it."""

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
        "Use a site name listed in the message, or add a folder of that name to the data directory.",
    ),
    "MS-U003": ErrorCode(
        "The target already exists",
        "Choose another name or directory, or remove the existing one first.",
    ),
    "MS-U004": ErrorCode(
        "A required option is missing or contradicts another",
        "Run the command with --help to see its options.",
    ),
    "MS-U005": ErrorCode(
        "A site's name cannot be used",
        "Use letters, digits, - and _, starting with a letter, at most 63; rename the site's folder.",
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
        "Correct the key named; docs/job.md lists those of the pipelines that come with MediSwarm.",
    ),
    "MS-J010": ErrorCode(
        "The selection metric is not one the pipeline reports",
        "Use one of the metrics listed in the message.",
    ),
    "MS-J011": ErrorCode(
        "The job refers to a file outside its own folder",
        "Copy the file into the job's folder; a job is one folder.",
    ),
    "MS-J012": ErrorCode(
        "A job without consent to code brings code",
        "Submit the job with `mediswarm`, which places its code where the site's policy sees it.",
    ),
    "MS-J013": ErrorCode(
        "An exclude pattern does not fit the model's parameters",
        "Correct exchange.exclude: each pattern must match a parameter, and one must remain to be shared.",
    ),
    # pipelines
    "MS-P001": ErrorCode(
        "No pipeline of this name",
        "Use a built-in name, install the package that provides it, or name a file, `./pipeline.py`.",
    ),
    "MS-P002": ErrorCode(
        "The pipeline file cannot be loaded",
        "Run the file with Python to see what fails; it must define exactly one Pipeline.",
    ),
    "MS-P003": ErrorCode(
        "The pipeline breaks the pipeline interface",
        "See docs/developer.md; `mediswarm job test PATH` checks every rule.",
    ),
    "MS-P004": ErrorCode(
        "The pipeline's learner cannot do what the job asks of it",
        "Change the setting named in the message, or use a pipeline whose learner has it.",
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
    # data, tables and volumes
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
    "MS-D104": ErrorCode(
        "Ids were changed by a spreadsheet program",
        "Export the table again with the id columns formatted as text.",
    ),
    "MS-D105": ErrorCode("A cell that must be filled is empty", "Fill the cell, or remove the row."),
    # data, splits and labels
    "MS-D110": ErrorCode(
        "A patient is in more than one split", "Put all images of a patient into one split."
    ),
    "MS-D111": ErrorCode("An id stands more than once in a table", "Keep one row for each id."),
    "MS-D112": ErrorCode(
        "Ids of the split table are not annotated",
        "Annotate these cases, or remove their rows from the split table.",
    ),
    "MS-D113": ErrorCode("Cases have no image", "Add the images, or remove the cases from the split table."),
    "MS-D114": ErrorCode(
        "The split table has no row of the job's fold",
        "Set the job's config.fold to a fold of the table, or correct the column Fold.",
    ),
    "MS-D115": ErrorCode("The split table names an unknown split", "Write train, val or test."),
    "MS-D116": ErrorCode(
        "A label is not one of the job's ordered classes", "Code the labels as the message says."
    ),
    "MS-D117": ErrorCode(
        "A class has no case in a split",
        "This is legal, its metrics are n/a at this site; check that labels are coded as declared.",
    ),
    "MS-D118": ErrorCode(
        "Cases are in no split and not used", "Add them to the split table if they should be used."
    ),
    "MS-D119": ErrorCode(
        "One image stands under several ids", "Remove the copies, or correct what was exported twice."
    ),
    # data, volumes
    "MS-D120": ErrorCode(
        "An image cannot be opened",
        "Give the account that runs MediSwarm permission to read the file, or restore it.",
    ),
    "MS-D121": ErrorCode("An image is truncated or corrupt", "Export or copy the image again."),
    "MS-D122": ErrorCode(
        "An image holds NaN or infinite voxels", "Repeat the preprocessing that wrote the image."
    ),
    "MS-D123": ErrorCode("An image is constant", "Export the image again; it holds no information as it is."),
    "MS-D124": ErrorCode(
        "An image does not have three axes", "Save one three-dimensional volume in each file."
    ),
    "MS-D125": ErrorCode(
        "Images of a site differ in orientation or spacing",
        "Bring all images to one orientation and spacing with the same preprocessing.",
    ),
    "MS-D126": ErrorCode(
        "Images of a site differ in size", "Check that all were cropped by the same preprocessing."
    ),
    "MS-D127": ErrorCode(
        "The voxels of an image are not real numbers",
        "Export the image in grey values; of complex voxels, export the magnitude.",
    ),
    # data, tables, and the pipelines on them
    "MS-D201": ErrorCode(
        "A table has columns that the job does not declare",
        "Take the columns out of the table, or name them under `ignore` in the job's config.",
    ),
    "MS-D202": ErrorCode(
        "A cell of a numeric column is not a number",
        "Write plain numbers with a decimal point; leave the cell empty where the value is missing.",
    ),
    "MS-D203": ErrorCode(
        "A number is out of the declared range",
        "Correct the value at its source; leave the cell empty where it was never measured.",
    ),
    "MS-D204": ErrorCode(
        "A numeric column looks to be in another unit than the declared one",
        "Convert the column to the declared unit; all sites measure in it.",
    ),
    "MS-D205": ErrorCode(
        "A cell of a categorical column holds a text that is not declared",
        "Write one of the declared categories, spelt exactly as in the job.",
    ),
    "MS-D206": ErrorCode(
        "Values are missing where the job declares that none may be",
        "Fill in the values or take the rows out; whether to impute is for the job to declare.",
    ),
    "MS-D207": ErrorCode(
        "A label is not one that the job declares",
        "Code the labels as the job does; take out rows whose label is not known.",
    ),
    "MS-D208": ErrorCode(
        "Rows share an id or have none",
        "Give each row an id of its own; name the patient in a column of its own.",
    ),
    "MS-D209": ErrorCode("A row names no split", "Write train, validation or test in the split column."),
    "MS-D210": ErrorCode(
        "A patient stands in more than one split",
        "Give all rows of a patient the same split.",
    ),
    "MS-D211": ErrorCode(
        "Rows repeat others in every input and in the label",
        "Make sure that these are different people, and take out rows that were exported twice.",
    ),
    "MS-D212": ErrorCode(
        "Missing values will be imputed, as the job declares",
        "Nothing, if as many are missing as you expect; otherwise look at how the table was exported.",
    ),
    "MS-D221": ErrorCode(
        "The list of features is not usable",
        "Write one feature name on each line of the file, each once.",
    ),
    "MS-D241": ErrorCode(
        "The data directory holds no CIFAR-10 that can be read",
        "Put cifar-10-python.tar.gz, its extracted folder or one .npz file into the data directory.",
    ),
    "MS-D242": ErrorCode(
        "A CIFAR-10 file is not the published one",
        "The file is damaged or was changed; delete it and download it again.",
    ),
    "MS-D243": ErrorCode(
        "A CIFAR-10 file asks for code to be run when it is opened",
        "Do not use this file; download the data set from its publisher.",
    ),
    "MS-D244": ErrorCode(
        "The job's config does not declare this site",
        "Name the site under `sites` in the job's config, or use one of those listed in the message.",
    ),
    "MS-D245": ErrorCode(
        "A download failed",
        "Check network and proxy, or download the file by other means and put it into the data directory.",
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
    "MS-C006": ErrorCode(
        "Sites trained from different models",
        "Start the run again; if it recurs, a site runs another version: compare `mediswarm doctor` reports.",
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
    "MS-H005": ErrorCode(
        "Little space is left for the scratch directory",
        "Free space there, or choose a --scratch directory on a larger disk.",
    ),
    "MS-H006": ErrorCode(
        "Shared memory is small",
        "Start the container with --shm-size=2g; data-loader workers die with a bus error when it is full.",
    ),
    "MS-H007": ErrorCode(
        "The clock is wrong",
        "Set the clock by NTP; with a wrong one, certificates look expired or not yet valid.",
    ),
    "MS-H008": ErrorCode(
        "There is an NVIDIA driver, but torch cannot use a device",
        "Start the container with --gpus all, and use a torch build for CUDA that fits the driver.",
    ),
    "MS-H009": ErrorCode(
        "Little memory", "Give the machine or container at least 4 GiB, or train with a small batch."
    ),
    "MS-H010": ErrorCode(
        "Required packages are missing or of another version",
        "Install MediSwarm again in a fresh environment, from its locked requirements.",
    ),
    "MS-H011": ErrorCode(
        "The scratch directory lies inside the data directory",
        "Choose a --scratch directory elsewhere; a site's data is only read.",
    ),
}
