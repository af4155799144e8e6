"""What the flex template's launcher runs; as a file of the package itself it would hide its neighbours' names."""

from preprocessing.console import run_command
from preprocessing.pipeline import main

if __name__ == "__main__":
    run_command(main)
