"""`python -m labelbeam` is the command line."""

from labelbeam.cli import main

if __name__ == "__main__":
    main()
