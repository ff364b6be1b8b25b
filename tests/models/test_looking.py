from threading import Thread

import torch
from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0

from fusionkit.models.adapters.looking import _joined


class _Watched(IPAdapterAttnProcessor2_0):
    """A layer during whose making another thread makes one of its own."""

    elsewhere: list[str] = []

    def __init__(self, hidden_size, cross_attention_dim, num_tokens):
        super().__init__(hidden_size, cross_attention_dim, num_tokens)
        thread = Thread(target=lambda: self.elsewhere.append(torch.nn.Linear(1, 1).weight.device.type))
        thread.start()
        thread.join()


def test_joining_two_pictures_layers_leaves_alone_what_another_thread_makes():
    parts = [_Watched(8, 4, (2,)), _Watched(8, 4, (3,))]
    _Watched.elsewhere.clear()

    made = _joined(parts)

    assert _Watched.elsewhere == ["cpu"]
    assert list(made.num_tokens) == [2, 3]
    assert [layer.weight.data_ptr() for layer in (*made.to_k_ip, *made.to_v_ip)] == [
        each.weight.data_ptr() for name in ("to_k_ip", "to_v_ip") for part in parts for each in getattr(part, name)
    ]
    assert torch.nn.Linear(1, 1).weight.device.type == "cpu"
