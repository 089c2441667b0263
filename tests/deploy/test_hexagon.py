"""What is asked of the processor's plugin, with ONNX Runtime's CPU in its place; the emulator runs in a benchmark."""

from types import SimpleNamespace

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from microjoule.deploy import hexagon
from microjoule.deploy.hexagon import NO_FALLBACK, PROVIDER, Hexagon, devices
from microjoule.deploy.onnx_file import export
from microjoule.deploy.verify import HEXAGON, verify
from microjoule.errors import DataError, ExportError, FileError, SettingError
from tests.deploy.networks import Function, images, quantized, small

PACKAGE = SimpleNamespace(
    __version__="9.9", get_library_path=lambda: "plugin.so", get_qnn_htp_path=lambda: "processor.so"
)
OTHER = SimpleNamespace(ep_name="CPUExecutionProvider")
PROCESSOR = SimpleNamespace(ep_name=PROVIDER)


class Options:
    """ONNX Runtime's session options, as far as they are used."""

    def __init__(self):
        self.entries, self.sizes, self.providers = {}, {}, []
        self.log_severity_level = 2

    def add_session_config_entry(self, key, value):
        self.entries[key] = value

    def add_free_dimension_override_by_name(self, name, size):
        self.sizes[name] = size

    def add_provider_for_devices(self, chosen, options):
        self.providers.append((chosen, options))


class Plugin:
    """ONNX Runtime with a plugin, which gives sessions on the CPU and remembers what it was asked for."""

    SessionOptions = Options

    def __init__(self, *, offers=True):
        self.offers, self.registered, self.opened = offers, [], []

    def get_ep_devices(self):
        return [OTHER, PROCESSOR] if self.registered and self.offers else [OTHER]

    def register_execution_provider_library(self, name, path):
        self.registered.append((name, path))

    def InferenceSession(self, model, options):  # noqa: N802
        self.opened.append(options)
        return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


@pytest.fixture
def plugin(monkeypatch):
    made = Plugin()
    monkeypatch.setattr(hexagon, "onnxruntime_qnn", PACKAGE)
    monkeypatch.setattr(hexagon, "onnxruntime", made)
    return made


@pytest.fixture
def deployed(tmp_path):
    network, x = small("linear")
    export(network, tmp_path / "x.onnx")
    return network, tmp_path / "x.onnx", x


def test_without_the_extra_it_is_refused_and_named(deployed, monkeypatch):
    monkeypatch.setattr(hexagon, "onnxruntime_qnn", None)
    network, path, x = deployed
    with pytest.raises(SettingError, match=r"not installed\n  pip install 'microjoule\[hexagon\]'"):
        verify(network, path, x, runtimes=[HEXAGON])
    assert len(verify(network, path, x)) == 2


def test_a_machine_without_a_processor_is_refused(monkeypatch):
    monkeypatch.setattr(hexagon, "onnxruntime_qnn", PACKAGE)
    monkeypatch.setattr(hexagon, "onnxruntime", Plugin(offers=False))
    with pytest.raises(SettingError, match=r"onnxruntime-qnn 9\.9 offers no processor on this machine"):
        devices()


def test_the_plugin_is_registered_once(plugin):
    assert devices() == devices() == [PROCESSOR]
    assert plugin.registered == [(PROVIDER, "plugin.so")]


@pytest.mark.slow
def test_the_output_alone_is_compared(deployed, plugin):
    network, path, x = deployed
    (record,) = verify(network, path, x, runtimes=[HEXAGON])
    assert record.runtime == "hexagon, onnxruntime-qnn 9.9"
    assert [(layer.name, layer.equal_share) for layer in record.layers] == [(list(network.quantizers)[-1], 1.0)]
    assert (record.samples, record.top1_agreement, record.first_departure) == (5, 1.0, None)


def test_the_steps_by_which_the_output_is_off_are_counted(deployed, plugin):
    """The network's last bias is one step of the output more than the file's."""
    network, path, x = deployed
    linear = next(module for module in network.module.modules() if isinstance(module, nn.Linear))
    linear.bias.data += list(network.quantizers.values())[-1].affine.scale
    (record,) = verify(network, path, x, runtimes=[HEXAGON])
    assert record.layers[0].largest_steps in (1, 2)
    assert record.layers[0].equal_share < 0.5


def test_nothing_falls_back_and_each_batch_size_has_its_session(deployed, plugin):
    network, path, _ = deployed
    verify(network, path, images(19, 4, 9, 9), runtimes=[HEXAGON])
    assert [options.sizes for options in plugin.opened] == [{"batch": 7}, {"batch": 8}, {"batch": 4}]
    for options in plugin.opened:
        assert options.entries == {NO_FALLBACK: "1"}
        assert options.providers == [([PROCESSOR], {"backend_path": "processor.so"})]


def test_an_output_that_is_on_no_grid_is_scored_alone(plugin, tmp_path):
    module = Function(lambda m, x: torch.erf(m.b(m.a(x).flatten(1))), a=nn.Conv2d(4, 4, 1), b=nn.Linear(36, 5))
    network = quantized(module, images(2, 4, 3, 3))
    export(network, tmp_path / "x.onnx")
    (record,) = verify(network, tmp_path / "x.onnx", images(3, 4, 3, 3), runtimes=[HEXAGON])
    assert record.layers == ()
    assert record.top1_agreement == 1.0


def test_what_the_processor_does_not_take_is_refused_in_its_words(deployed, plugin, monkeypatch):
    def refuse(model, options):
        raise RuntimeError("nodes are assigned to the CPU\nand more")

    monkeypatch.setattr(plugin, "InferenceSession", refuse)
    network, path, x = deployed
    with pytest.raises(ExportError, match=r"x\.onnx: Hexagon does not take it: nodes are assigned to the CPU\n  quant"):
        verify(network, path, x, runtimes=[HEXAGON])


def test_missing_files_and_misfits_are_refused(deployed, plugin, tmp_path):
    network, path, _ = deployed
    with pytest.raises(FileError, match="cannot be read"):
        Hexagon(network, tmp_path / "none.onnx")
    with pytest.raises(DataError, match="and the network was captured for"):
        Hexagon(network, path)((images(3, 5, 9, 9),))


def test_a_file_of_one_batch_size_is_left_at_it(deployed, plugin):
    network, path, x = deployed
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = len(x)
    onnx.save(model, path)
    Hexagon(network, path)((x,))
    assert plugin.opened[0].sizes == {}
