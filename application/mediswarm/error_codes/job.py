"""Codes of commands, job files and pipelines."""

from __future__ import annotations

from mediswarm.error_codes.code import ErrorCode

CODES: dict[str, ErrorCode] = {
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
    "MS-U006": ErrorCode(
        "The target cannot be written",
        "Choose a directory that this account can write; in a container, root's is the account 10001.",
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
    "MS-J014": ErrorCode(
        "The batch_norm setting does not fit the network",
        "Leave out config.batch_norm, or choose a backbone with batch normalisation.",
    ),
    "MS-J015": ErrorCode(
        "A freeze or lr_groups pattern does not fit the model's parameters",
        "Correct it: `mediswarm job show JOB --tensors` lists the names that there are.",
    ),
    "MS-J016": ErrorCode(
        "A training batch of one case is too small for batch normalisation",
        "Set another training.batch_size, so that no batch of one is left, or train without batch "
        "normalisation (odelia: config.batch_norm: group) or on larger inputs.",
    ),
    "MS-J017": ErrorCode(
        "A loss of all sites together needs sites that weigh as many cases as they have",
        "Set workflow.weights to cases, in a workflow that has it (all but cyclic), or choose a loss "
        "within each site (stamp: config.task.risk_set: site).",
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
    "MS-P005": ErrorCode(
        "A training step of this pipeline cannot be estimated",
        "Run `mediswarm train JOB` with real data, and see the seconds of each round.",
    ),
}
