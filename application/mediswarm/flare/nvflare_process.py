"""The process that a node starts: NVFlare's own client or server, tied to the node's life.

``python -m mediswarm.flare.nvflare_process client|server ARGUMENTS of NVFlare's module``
"""

from __future__ import annotations

import logging
import runpy
import sys

from mediswarm.flare.audit_log import bound_audit_log
from mediswarm.flare.process_family import end_with_parent

_MODULES = {
    "client": "nvflare.private.fed.app.client.client_train",
    "server": "nvflare.private.fed.app.server.server_train",
}


def main() -> None:
    """Run NVFlare's module as if it had been started itself."""
    end_with_parent()
    module = _MODULES[sys.argv.pop(1)]
    bound_audit_log(sys.argv)
    logging.raiseExceptions = False  # on a full disk, each line that finds no room would print a traceback
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
