"""What is installed, and what of it does not fit. Nothing of the libraries that it judges is imported."""

from __future__ import annotations


def unfit_pairs(*names: str) -> list[str]:
    """What of the installed packages does not fit, one line each.

    Args:
        names: Only what concerns one of these packages, such as `peft`; without any, all of it.
    """
    from fusionkit.doctor.packages import unfit

    return [found.text for found in unfit() if not names or found.names & set(names)]


def unfit_hint(*names: str) -> str:
    """The end of an error that packages which do not fit may have caused: `; transformers 5 wants peft>=1, ...`.

    Args:
        names: The packages that the failed work needed.

    Returns:
        An empty string where all of it fits, or where that can't be told.
    """
    try:
        lines = unfit_pairs(*names)
    except Exception:  # noqa: BLE001 - it explains another error, which it must not hide
        return ""
    return f"; {'; '.join(lines)}: see 'fusionkit doctor'" if lines else ""
