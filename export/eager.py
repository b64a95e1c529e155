"""What eager says to a case: the reference of every comparison."""

from __future__ import annotations

from export.cases import Case
from export.verification import Expected
from signatures.contract import InvalidInputError, ModelContract
from signatures.guard import body_of, guarded
from signatures.peak_ops import FUNCTIONS


class Eager:
    """Answers cases in this process, under the bounds of a contract."""

    def __init__(self, contract: ModelContract) -> None:
        """Guards the family's functions with the contract's rules."""
        self._contract = contract
        self._functions = {
            signature.name: guarded(signature)(body_of(FUNCTIONS[signature.name]))
            for signature in contract.signatures
        }

    def __call__(self, case: Case) -> Expected:
        """The eager answer."""
        signature = self._contract.signature(case.signature)
        try:
            results = self._functions[signature.name](**case.inputs)
        except InvalidInputError as error:
            return Expected(None, str(error))
        if len(signature.outputs) == 1:
            results = (results,)
        return Expected(
            {
                tensor.name: result.numpy()
                for tensor, result in zip(signature.outputs, results, strict=True)
            }
        )
