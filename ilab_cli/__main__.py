"""``python -m ilab_cli`` is ``ilab``."""

from ilab_cli.app import main

if __name__ == "__main__":
    main()
