"""The public test batteries: what an encoder family, and a scorer, must do to work with the rest of the package."""

from supertickets.testing.families import CHECKS as CHECKS
from supertickets.testing.families import CheckLeftOut as CheckLeftOut
from supertickets.testing.families import check_family as check_family
from supertickets.testing.families import family_checks as family_checks
from supertickets.testing.scorers import SCORER_CHECKS as SCORER_CHECKS
from supertickets.testing.scorers import check_scorer as check_scorer
