"""Codes of sessions with a server and of the supervisor."""

from __future__ import annotations

from mediswarm.error_codes.code import ErrorCode

CODES: dict[str, ErrorCode] = {
    # sessions
    "MS-S001": ErrorCode(
        "The server cannot be reached, or does not answer in time",
        "Check network and VPN, and whether the server runs; runs under way go on without this connection.",
    ),
    "MS-S002": ErrorCode(
        "The server does not accept this admin",
        "Use an admin kit of this federation; ask its operator whether yours is still meant to be valid.",
    ),
    "MS-S003": ErrorCode(
        "The server does not allow this admin what was asked",
        "Ask someone whose role allows it; project_admin may do all, lead what is its own.",
    ),
    "MS-S004": ErrorCode(
        "The server does not take the job", "See the message; the server's log has the details."
    ),
    "MS-S005": ErrorCode(
        "The server does not know this NVFlare job",
        "Its job store was lost or cleaned; `mediswarm resume` goes on from the committed model.",
    ),
    "MS-S006": ErrorCode(
        "No admin kit was named, or the kit is for another role",
        "Pass --kit DIR or set MEDISWARM_KIT to the folder of an admin's startup kit.",
    ),
    "MS-S007": ErrorCode(
        "The server could not do what was asked", "Try again; if it stays so, read the server's log."
    ),
    # runs of the operator
    "MS-S010": ErrorCode(
        "There is no such run", "See `mediswarm list` for the runs of this state directory."
    ),
    "MS-S011": ErrorCode(
        "Another supervisor looks after these runs already",
        "Nothing to do; or stop the other one, or use a state directory of its own (--state).",
    ),
    "MS-S012": ErrorCode("A run in this state cannot do that", "See `mediswarm status RUN`."),
    "MS-S013": ErrorCode(
        "Segment after segment ended without a committed round",
        "See `mediswarm logs RUN` for why they ended; mend it, then `mediswarm resume RUN`.",
    ),
    "MS-S014": ErrorCode(
        "A certificate ends before the run would",
        "Renew the certificates (`mediswarm provision`), hand out the new kits, then submit or resume.",
    ),
    "MS-S015": ErrorCode(
        "The state of the operator's runs cannot be used",
        "Use the version of MediSwarm that wrote it, or another --state DIR.",
    ),
    "MS-S016": ErrorCode(
        "Sites refuse the job",
        "Ask the sites named whether they accept this job's code, or use a pipeline that is in the image.",
    ),
    "MS-S017": ErrorCode(
        "The run has nothing to fetch yet", "Wait for the end of its first segment: `mediswarm status RUN`."
    ),
    "MS-S018": ErrorCode(
        "The server is not done with the request yet",
        "The supervisor goes on with it; look again with `mediswarm status RUN`.",
    ),
    "MS-S019": ErrorCode(
        "The supervisor ended unexpectedly", "Read the log named; send its last lines to the developers."
    ),
    "MS-S020": ErrorCode(
        "The job was changed after the operator signed it",
        "Find out who can write to the disk of the one named; `mediswarm resume RUN` submits it anew.",
    ),
}
