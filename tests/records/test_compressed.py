from microjoule.records.compressed import Factorized, LayerFactorized
from microjoule.records.json_io import from_json, to_json
from microjoule.records.skipped import Skipped
from tests.report.samples import compressed, compression_sensitivity, latency_modelled

LAYERS = (
    LayerFactorized("conv", "tucker", (3, 4), (16, 32), 1000, 400, 0.125),
    LayerFactorized("head", "output", (2,), (10,), 100, 40, 0.0),
)
MORE = (compressed(), compression_sensitivity(), latency_modelled())


def test_a_record_comes_back_as_it_was():
    for record in (Factorized("photos", 64, LAYERS, ()), Factorized(None, 0, (), (Skipped("a", "why"),)), *MORE):
        assert from_json(to_json(record)) == record
