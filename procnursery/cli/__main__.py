"""``python -m procnursery.cli``."""

from procnursery.cli.main import main

if __name__ == "__main__":
    main()
