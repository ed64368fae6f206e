"""``python -m botzoo``, for launchers such as torchrun."""

from botzoo.cli import main

if __name__ == "__main__":
    main()
