"""`python -m export` is `peakserve` in a checkout."""

from export.entry import main

if __name__ == "__main__":
    main()
