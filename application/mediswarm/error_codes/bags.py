"""Codes of bags of features: H5 files and the tables that say whose they are."""

from __future__ import annotations

from mediswarm.error_codes.code import ErrorCode

CODES: dict[str, ErrorCode] = {
    # one feature file
    "MS-B001": ErrorCode(
        "A feature file cannot be read",
        "Extract the slide's features again, or give the account that runs MediSwarm permission to read it.",
    ),
    "MS-B002": ErrorCode(
        "A feature file does not hold one array of features",
        "Extract again; the file must hold one of the datasets `feats` and `patch_embeddings`.",
    ),
    "MS-B003": ErrorCode(
        "The array of features has a shape or type that cannot be used",
        "Extract again: [tiles, features] for tiles, [features] for a slide or patient, as float16.",
    ),
    "MS-B004": ErrorCode(
        "The coordinates do not fit the features",
        "Extract again: `coords` holds one finite x and y for each tile, or leave the dataset out.",
    ),
    "MS-B005": ErrorCode(
        "The unit of the coordinates, or the tile size, cannot be told",
        "Write the attributes unit=um and tile_size_um into the file, or extract again with STAMP 2.",
    ),
    "MS-B006": ErrorCode(
        "It cannot be told whether features are of tiles, a slide or a patient",
        "Write the attribute feat_type (tile, slide or patient) into the file.",
    ),
    "MS-B007": ErrorCode(
        "A feature file does not say which extractor made it",
        "Write the attribute extractor (encoder, for a slide or patient) where it is known for sure; where no"
        " site's files say it, the job can accept them with `features.undeclared: true`.",
    ),
    "MS-B008": ErrorCode(
        "Features are NaN or infinite",
        "Extract the slide's features again; a value beyond 65504 does not fit into float16.",
    ),
    "MS-B009": ErrorCode(
        "A feature file was changed while it was in use", "Start again when nothing writes to the features."
    ),
    # tables
    "MS-B020": ErrorCode(
        "A patient has several rows in the clinical table that contradict one another",
        "Keep one row for each patient.",
    ),
    "MS-B021": ErrorCode(
        "A patient has several rows in the clinical table that say the same",
        "This is legal; keep one row for each patient.",
    ),
    "MS-B022": ErrorCode(
        "The slide table names a feature file in a way that is not accepted",
        "Write the path relative to the feature folder, ending in .h5; "
        "`mediswarm check --show-cases` lists what is written.",
    ),
    "MS-B023": ErrorCode(
        "Feature files that the slide table names are missing",
        "Add the files, or remove their rows from the slide table; "
        "`mediswarm check --show-cases` lists them.",
    ),
    "MS-B024": ErrorCode(
        "A feature file stands more than once in the slide table", "Keep one row for each feature file."
    ),
    "MS-B025": ErrorCode(
        "Patients of the clinical table have no features and are not used",
        "Add their slides to the slide table if they should be used.",
    ),
    "MS-B026": ErrorCode(
        "Slides of patients who are not in the clinical table are not used",
        "Add the patients to the clinical table if they should be used.",
    ),
    "MS-B027": ErrorCode(
        "Feature files are named by no table and not used",
        "Add them to the slide table if they should be used.",
    ),
    "MS-B028": ErrorCode(
        "No patient has both features and a row in the clinical table",
        "Check that the tables and the feature folder belong together, and that their ids are spelt alike.",
    ),
    "MS-B029": ErrorCode(
        "The feature folder is missing or cannot be listed", "Put the feature files at the path named."
    ),
    # all files of a site
    "MS-B030": ErrorCode(
        "Feature files of a site were made in different ways",
        "Extract all slides with one extractor and one tile size, or take out the others.",
    ),
    "MS-B031": ErrorCode(
        "Feature files are not of the kind that the job declares",
        "Extract the slides as the job says, or give the site a job for its features.",
    ),
    "MS-B032": ErrorCode(
        "The same features stand in several files", "Remove the copies, or correct what was exported twice."
    ),
    "MS-B033": ErrorCode(
        "Feature files do not say which extractor made them, and the job accepts that",
        "Make sure that all sites used the extractor that the job names: nothing here can tell.",
    ),
    # splits
    "MS-B040": ErrorCode(
        "There are too few patients for the splits",
        "Give the site more patients, or set fewer folds or smaller shares in the job.",
    ),
    # the site's folder
    "MS-B070": ErrorCode(
        "A table is there as .csv and as .xlsx", "Keep the one that is right and remove the other."
    ),
    "MS-B071": ErrorCode(
        "The drawn splits could not be kept", "Give the site a scratch directory that can be written to."
    ),
    "MS-B072": ErrorCode(
        "Patients of the kept draw are no longer there",
        "This is legal where patients were withdrawn; else put their rows and features back.",
    ),
}
