"""The one exception that a user sees as a sentence instead of a traceback."""

from __future__ import annotations


class UserError(Exception):
    """Bad input: says what is wrong, where, and what to do; the command line exits with code 2.

    `what` is the fault, `where` its place (`train.tsv:17:3`, `sweep.yaml:2:1`, `--sparsity`),
    `do` the remedy. All three are sentences or fragments without a final full stop.
    """

    def __init__(self, what: str, where: str = "", do: str = "") -> None:
        self.what, self.where, self.do = what, where, do
        super().__init__(what, where, do)  # all three, so that it survives pickling between processes

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        remedy = f"; {self.do}" if self.do else ""
        return f"{place}{self.what}{remedy}"
