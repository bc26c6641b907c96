"""patience.py - how long the cells wait, in seconds of a machine that has nothing else to do.

`make check` runs the matrix beside all its other tests, so there each wait is PATIENCE times as long:
what was lost stays lost, however long one waits. Alone (`make check-tricks`) the times are the promised ones."""

import os

PATIENCE = float(os.environ.get("TRICKS_PATIENCE", "1"))


def patient(seconds):
    return seconds * PATIENCE
