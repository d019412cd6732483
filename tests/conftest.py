"""What all tests share."""

import signal

# A shell without job control starts background jobs deaf to Ctrl-C, and children inherit that; tests that press it need
# programs that hear it.
signal.signal(signal.SIGINT, signal.default_int_handler)
