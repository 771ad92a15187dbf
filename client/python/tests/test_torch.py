"""Torch tensors travel and come back, sharing memory."""

import chunkkv
import numpy as np
import pytest
from chunkkv._arrays import as_array, as_tensor
from fake_service import KEYS
from sample_caches import model, tokens

torch = pytest.importorskip("torch")

DTYPES = ["float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_tensor_becomes_an_array_over_the_same_memory_and_back(dtype):
    tensor = torch.arange(24, dtype=torch.float32).reshape(4, 2, 3).to(getattr(torch, dtype))
    array = as_array(tensor)
    assert str(array.dtype) == dtype and array.shape == (4, 2, 3)
    assert array.ctypes.data == tensor.data_ptr()
    assert as_array(tensor.transpose(0, 1)).strides == array.transpose(1, 0, 2).strides
    back = as_tensor(array)
    assert back.dtype == tensor.dtype and back.data_ptr() == tensor.data_ptr()


def test_tensors_that_require_gradients_are_put_as_they_are(fake, fake_client):
    k = torch.randn(5, 2, 8, requires_grad=True)
    keys = torch.randn(2, 5, 8, dtype=torch.bfloat16)
    layers = [chunkkv.Layer(k=k, v=k), chunkkv.Layer(k=keys, v=keys, head_major=True)]
    fake_client.put(model=model(layers=2), tokens=torch.tensor(tokens(5).astype(np.int64)), layers=layers,
                    spec=chunkkv.CompactionSpec(policy="full"))
    put, = fake.puts
    assert put.tensors[0, KEYS, ""] == k.detach().numpy().tobytes()
    assert put.tensors[1, KEYS, ""] == keys.transpose(0, 1).contiguous().view(torch.int16).numpy().tobytes()


def test_a_layer_turns_into_tensors_over_its_memory():
    layer = chunkkv.EntryLayer(0, k=as_array(torch.ones(2, 1, 4, dtype=torch.bfloat16)), positions=np.arange(2))
    tensors = layer.as_torch()
    assert tensors.k.dtype == torch.bfloat16 and tensors.v is None and tensors.positions.tolist() == [0, 1]
    assert tensors.k.data_ptr() == layer.k.ctypes.data
