from ..report import run
from .race import measure

run({"peers": measure})
