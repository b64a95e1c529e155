"""`python -m export` is `peakserve` in a checkout."""

from export.cli import main

if __name__ == "__main__":
    main()
