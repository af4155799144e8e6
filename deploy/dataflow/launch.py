"""What the launcher of the flex templates runs; as a file of the package itself it would hide its neighbours' names."""

import sys

from preprocessing.command.console import run_command

if __name__ == "__main__":
    if any(flag.startswith("--mode=") for flag in sys.argv):  # the batch jobs have one, the pipeline has not
        from serving.batch.__main__ import main
    else:
        from preprocessing.pipeline import main
    run_command(main)
