"""The published systems and ours, each one page that composes shared parts. Importing this package registers them."""

from symevo.search.system import SYSTEMS as SYSTEMS
from symevo.search.system import System as System
from symevo.systems import evograd as evograd
from symevo.systems import expression as expression
from symevo.systems import gadam as gadam
from symevo.systems import hyperparameters as hyperparameters
from symevo.systems import term_sum as term_sum
