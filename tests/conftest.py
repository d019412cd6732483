"""What all tests share: Ctrl-C is heard, no terminal has a width, and property tests try the same examples everywhere.

``nox -s search`` sets ``ILAB_TEST_SEARCH`` to a factor: property tests then try that many times as many examples, at
random.
"""

import os
import signal

from hypothesis import settings

# A shell without job control starts background jobs deaf to Ctrl-C, and children inherit that; tests that press it need
# programs that hear it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Processes that share the tests out set these, and so may a shell; what is printed would be wrapped to them.
for name in ("COLUMNS", "LINES"):
    os.environ.pop(name, None)

FACTOR = int(os.environ.get("ILAB_TEST_SEARCH", "1"))


def examples(number: int) -> int:
    """How many examples a property test tries that by itself needs ``number`` of them."""
    return number * FACTOR


settings.register_profile(
    "ilab", derandomize=FACTOR == 1, max_examples=examples(100), deadline=None, database=None, print_blob=True
)
settings.load_profile("ilab")
