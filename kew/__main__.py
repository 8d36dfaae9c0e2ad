"""`python -m kew`: the command line, if its script is not on the PATH."""

from kew.cli import main

if __name__ == "__main__":
    main()
