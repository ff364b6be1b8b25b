"""What all tests share."""

from __future__ import annotations

import os

# Nothing in the tests may depend on the network, and tiny models run quickest in one thread.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
