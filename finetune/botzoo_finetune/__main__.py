"""``python -m botzoo_finetune``, for launchers such as torchrun."""

from botzoo_finetune.cli import main

if __name__ == "__main__":
    main()
