"""`python -m kubetune` is the command `kubetune`."""

from kubetune.cli.app import main

if __name__ == "__main__":
    main()
