"""The contract of import-linter that keeps a folder's face the only way into it."""

from __future__ import annotations

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output
from importlinter.application import contract_utils


class FacesContract(Contract):
    """Forbids imports of a module inside a folder by modules outside of that folder.

    Other folders import the folder itself: the names in its ``__init__.py``.
    """

    type_name = "faces"

    ignore_imports = fields.SetField(subfield=fields.ImportExpressionField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        contract_utils.remove_ignored_imports(
            graph, self.ignore_imports, contract_utils.AlertLevel.ERROR
        )
        broken = [
            f"{importer} imports {imported}, which is inside {folder}"
            for imported in sorted(graph.modules)
            if "." in (folder := imported.rpartition(".")[0])
            for importer in sorted(graph.find_modules_that_directly_import(imported))
            if not f"{importer}.".startswith(f"{folder}.")
        ]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for line in check.metadata["broken"]:
            output.print_error(line)
