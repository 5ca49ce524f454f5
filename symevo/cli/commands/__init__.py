"""What the subcommands do.

Results go to standard output, all else to standard error. Nothing here imports torch before it is needed.
"""
