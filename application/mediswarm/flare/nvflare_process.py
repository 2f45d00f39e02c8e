"""The process that a node starts: NVFlare's own client or server, unchanged, tied to the node's life.

``python -m mediswarm.flare.nvflare_process client|server ARGUMENTS of NVFlare's module``
"""

from __future__ import annotations

import runpy
import sys

from mediswarm.flare.process_family import end_with_parent

_MODULES = {
    "client": "nvflare.private.fed.app.client.client_train",
    "server": "nvflare.private.fed.app.server.server_train",
}


def main() -> None:
    """Run NVFlare's module as if it had been started itself."""
    end_with_parent()
    module = _MODULES[sys.argv.pop(1)]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
