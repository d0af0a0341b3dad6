from pathlib import Path

import numpy as np
from PIL import Image

from labelbeam.encoders.catalogue import EncoderConfig, build_encoder
from labelbeam.features.encode import encode_pictures
from labelbeam.features.extract import extract


def test_pictures_in_memory_have_the_features_of_their_lossless_files(tmp_path: Path) -> None:
    encoder = build_encoder(EncoderConfig("tiny", width=16, size=32))
    pictures = [np.random.default_rng(i).integers(0, 256, (20 + i, 30, 3), dtype=np.uint8) for i in range(5)]
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for path, picture in zip(paths, pictures, strict=True):
        Image.fromarray(picture).save(path)
    from_memory = encode_pictures(iter(pictures), encoder, batch_size=2)
    assert np.allclose(from_memory, extract(paths, encoder).values, rtol=2e-3, atol=1e-4)


def test_no_pictures_give_no_rows_and_a_training_encoder_stays_in_training() -> None:
    encoder = build_encoder(EncoderConfig("tiny", width=16, size=32))
    encoder.module.train()
    assert encode_pictures([], encoder).shape == (0, 32)
    assert encoder.module.training
