"""Settings of runs. Importing this package registers those of the built-in systems."""

from symevo.settings import systems as systems
