"""Codes of sites' data."""

from __future__ import annotations

from mediswarm.error_codes.code import ErrorCode

CODES: dict[str, ErrorCode] = {
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
}
