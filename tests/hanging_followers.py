"""Stand-ins for the process that logs a study: `python -m hanging_followers STUDY TARGET FOLLOWS`.

The study's name says what the process does.
"""

from __future__ import annotations

import os
import signal
import sys
import time


def main() -> None:
    study, target, follows = sys.argv[1:]
    print(f"I{study} {target} {follows} {os.environ['ATTENTUNE_DB']}", flush=True)
    print(f"Itimeout {os.environ.get('MLFLOW_HTTP_REQUEST_TIMEOUT')}", flush=True)
    match study:
        case "hangs":
            if hasattr(signal, "SIGTERM"):
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)
        case "crashes":
            os._exit(17)
        case "fails":
            sys.stdin.read()
            print("Wno server", flush=True)
            sys.exit(1)
        case "ends":
            sys.stdin.read()


if __name__ == "__main__":
    main()
