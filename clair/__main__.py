"""`python -m clair`: the same as the `clair` command."""

from clair.cli import main

if __name__ == "__main__":
    main(prog_name="clair")
