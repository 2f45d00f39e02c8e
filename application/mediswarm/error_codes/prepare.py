"""Codes of the preprocessing of images, from DICOM to what a pipeline reads."""

from __future__ import annotations

from mediswarm.error_codes.code import ErrorCode

CODES: dict[str, ErrorCode] = {
    # what was given to the command
    "MS-X001": ErrorCode(
        "The packages that read DICOM are not installed", "Install them with `pip install mediswarm[dicom]`."
    ),
    "MS-X002": ErrorCode(
        "The input folder holds no examinations",
        "Give the folder that holds one folder of DICOM files for each examination.",
    ),
    "MS-X003": ErrorCode(
        "A rule file cannot be read",
        "Give --rules a file that this account can read; where a line is named, correct the YAML there.",
    ),
    "MS-X004": ErrorCode(
        "A rule file says something that cannot be",
        "Correct the key named; `mediswarm odelia rules` prints the rules that are used without a file.",
    ),
    "MS-X005": ErrorCode("A row of the label table breaks a rule", "Correct the row named."),
    "MS-X006": ErrorCode(
        "The label table says nothing about a breast",
        "Give each case one row for each side; write `excluded` under Lesion to leave a breast out.",
    ),
    "MS-X007": ErrorCode(
        "Examinations stand in no row of the label table",
        "Add their rows to the label table, or move their folders out of the input.",
    ),
    "MS-X008": ErrorCode(
        "A case of the label table has no examination",
        "Put its DICOM files into the folder that the label table names, or take out its rows.",
    ),
    "MS-X009": ErrorCode(
        "The output folder cannot be used", "Choose a folder of its own that this account can write."
    ),
    # one examination
    "MS-X010": ErrorCode(
        "A DICOM file is damaged, cannot be read, or is not DICOM",
        "Export the examination again; run with --show-cases to see which file.",
    ),
    "MS-X011": ErrorCode(
        "DICOM of a kind that is not read", "Export the examination as single-frame MR images in grey values."
    ),
    "MS-X012": ErrorCode(
        "A series is missing",
        "Export the series, or describe it in a rule file (--rules); --show-cases lists what was found.",
    ),
    "MS-X013": ErrorCode(
        "It is not clear which series is meant",
        "Tell them apart in a rule file (--rules); --show-cases lists what was found.",
    ),
    "MS-X014": ErrorCode(
        "The slices of a series do not form one volume",
        "Tell the parts of the series apart in a rule file (`split_by`), or export it again.",
    ),
    "MS-X015": ErrorCode(
        "Different slices lie at one place",
        "Remove what was exported twice, or tell the phases apart in a rule file (`split_by`).",
    ),
    "MS-X016": ErrorCode("Slices are missing", "Export the series again, completely."),
    "MS-X017": ErrorCode("Slices are not equally spaced", "Export the series as it was acquired."),
    "MS-X018": ErrorCode(
        "Pre and Post_1 cannot be subtracted",
        "Make sure that the rules choose two phases of one acquisition, with the patient in one position.",
    ),
    "MS-X019": ErrorCode(
        "The subtraction holds nothing",
        "Make sure that the rules choose two different phases; the same image may stand under both.",
    ),
    "MS-X020": ErrorCode(
        "A pseudonym is an identity from the DICOM header",
        "Give the case and the patient pseudonyms of their own in the label table.",
    ),
    "MS-X021": ErrorCode(
        "A slice does not say where it lies",
        "Export the series again with position, orientation and pixel spacing.",
    ),
    "MS-X022": ErrorCode(
        "There are too few patients for five folds",
        "Prepare the images of at least five patients together, or write split.csv by hand.",
    ),
    "MS-X023": ErrorCode(
        "An image is not of the geometry that is prepared",
        "Prepare the case again from its DICOM files.",
    ),
    "MS-X024": ErrorCode(
        "A process that prepared cases was killed",
        "Run the same command again, with fewer --workers if memory was short; finished cases are kept.",
    ),
    "MS-X025": ErrorCode(
        "Volumes of different preprocessing are mixed at a site",
        "Prepare all cases of the site in the same way, with `mediswarm odelia prepare`.",
    ),
    "MS-X026": ErrorCode(
        "An option has no meaning for volumes in the ODELIA layout",
        "Leave the option out: such volumes are checked and tagged as they lie. If DICOM files were meant, "
        "give their folder as --input.",
    ),
    "MS-X027": ErrorCode(
        "Volumes were changed after their preparation",
        "Run `mediswarm odelia prepare` as before: it makes them again from DICOM, or tags anew what was not "
        "made of DICOM. --show-cases names them.",
    ),
    "MS-X028": ErrorCode(
        "The output holds cases that are not in the label table",
        "Delete the files and folders that --show-cases lists, such as after a withdrawn consent; or put the "
        "rows back into the label table.",
    ),
}
