from microjoule.records import facts
from microjoule.records.skipped import Skipped


def test_it_is_one_type_wherever_it_is_imported_from():
    assert facts.Skipped is Skipped
    assert Skipped("conv", "it is grouped") == facts.Skipped("conv", "it is grouped")
