"""A model, and how it is scored."""

import pytest

from microjoule.cli.data import Reading
from microjoule.cli.scored import model_and_metric
from microjoule.errors import SettingError
from tests.cli.conftest import MODEL


@pytest.mark.slow
def test_the_metric_asked_for_then_the_models_own(program):
    assert model_and_metric(MODEL, None, Reading())[1].name == "top1"
    assert model_and_metric(MODEL, "psnr", Reading())[1].name == "psnr"
    found, metric = model_and_metric(str(program), None, Reading())
    assert (found.card, metric.name) == (None, "top1")


def test_an_unknown_one_is_refused():
    with pytest.raises(SettingError, match="there is no 'beauty'"):
        model_and_metric(MODEL, "beauty", Reading())
