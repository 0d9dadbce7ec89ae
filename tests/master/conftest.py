"""What holds of every decision: it leaves what was loaded for it as it is, as it may be made again on the same."""

import copyreg
import pickle
from types import MappingProxyType
from typing import Any

import pytest

from hs_master.pipeline.intake import Intake


@pytest.fixture(autouse=True)
def _decisions_leave_what_was_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    decide = Intake.decide

    def watched(self: Intake, call: Any, step: Any) -> Any:
        before = pickle.dumps(call.loaded)
        answer = decide(self, call, step)
        assert pickle.dumps(call.loaded) == before, f"a {type(call.call).__name__} changed what was loaded for it"
        return answer

    monkeypatch.setitem(copyreg.dispatch_table, MappingProxyType, lambda value: (dict, (dict(value),)))
    monkeypatch.setattr(Intake, "decide", watched)
