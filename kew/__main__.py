"""`python -m kew`: the command line, where its script is not on the PATH."""

from kew.adapters.cli import main

if __name__ == "__main__":
    main()
