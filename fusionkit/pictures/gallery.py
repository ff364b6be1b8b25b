"""Several results, as a list that a notebook shows on one sheet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

from fusionkit.errors import RecipeError

if TYPE_CHECKING:
    from PIL.Image import Image

    from fusionkit.pictures.result import Result


class Gallery(Sequence["Result"]):
    """Results in the order in which they were drawn; a notebook shows all of them, small, with their numbers.

    Args:
        results: The results.
        columns: How many stand side by side; None chooses.
    """

    def __init__(self, results: Iterable[Result], columns: int | None = None) -> None:
        self._results = list(results)
        self._columns = columns

    @overload
    def __getitem__(self, index: int) -> Result: ...

    @overload
    def __getitem__(self, index: slice) -> Gallery: ...

    def __getitem__(self, index: int | slice) -> Result | Gallery:
        """One result, counted from 0; or a gallery of some."""
        return Gallery(self._results[index]) if isinstance(index, slice) else self._results[index]

    def __len__(self) -> int:
        return len(self._results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self._results)

    def __repr__(self) -> str:
        return f"Gallery of {len(self)} pictures"

    def sheet(self, columns: int | None = None) -> Image:
        """All on one picture, each with its index, its seed, and its prompt where there are several.

        Args:
            columns: How many stand side by side; None is as the gallery was made.

        Raises:
            ValueError: There are none.
        """
        from fusionkit.pictures.sheet import contact_sheet

        if not self._results:
            raise ValueError("a gallery without pictures has no sheet")
        several = len({each.recipe.prompt for each in self}) > 1
        lines = [
            f"[{number}]   seed {each.seed}{f'   {each.recipe.prompt}' if several else ''}"
            for number, each in enumerate(self)
        ]
        pictures = [(each.image, line) for each, line in zip(self, lines, strict=True)]
        return contact_sheet(pictures, columns or self._columns)

    def save(self, template: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Write all of them, each as `Result.save` does.

        Args:
            template: The path, as a recipe's `output`: `out/{index}-{seed}.png`; `{index}` counts from 1.
            overwrite: Replace existing files.

        Raises:
            RecipeError: It is no path template.
        """
        from fusionkit.pictures.names import output_path
        from fusionkit.recipe.values import check_output

        try:
            output = check_output(Path(template))
        except ValueError as error:
            raise RecipeError([f"'{template}' {error}"]) from None
        return [
            each.save(output_path(each.recipe.model_copy(update={"output": output}), number), overwrite=overwrite)
            for number, each in enumerate(self, 1)
        ]

    def _repr_png_(self) -> bytes | None:
        return self.sheet()._repr_png_() if self._results else None
