"""`python -m tests.batch.sent URL FOLDER`: a run by a server's batch API that the tests kill."""

import signal
import sys
from pathlib import Path

from langplug import batch
from langplug.models import ChatEndpoint

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever starts the tests may have it ignored
    model = ChatEndpoint(model="m", base_url=sys.argv[1])
    rows = ({"id": number, "prompt": f"row {number}"} for number in range(20))
    batch.run(model, rows, Path(sys.argv[2]) / "out.jsonl", via="provider", rows_per_batch=8)
