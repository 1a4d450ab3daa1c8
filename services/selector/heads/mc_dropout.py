"""MC_DROPOUT."""

from __future__ import annotations

from services.selector.heads.settings import McDropoutSettings


class McDropoutFitter:
    """Not there yet."""

    def __init__(self, settings: McDropoutSettings) -> None:
        raise NotImplementedError
