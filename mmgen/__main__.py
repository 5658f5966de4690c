"""`python -m mmgen`: the same as the `mmgen` command."""

from mmgen.cli.main import main

if __name__ == "__main__":
    main()
