"""`python -m labelbeam` is the command line."""

from labelbeam.cli.app import main

if __name__ == "__main__":
    main()
