"""How loud a recording is in bands of frequency, step by step: what models see that hear by looking."""

from __future__ import annotations

import kaldi_native_fbank
import numpy as np
from numpy.typing import NDArray

from tritonsmith_steps.sounds import Samples


def log_mel(samples: Samples, rate: int, bands: int) -> NDArray[np.float32]:
    """Kaldi's log mel energies ``[frames, bands]``: windows of 25 ms by von Hann, 10 ms apart, none of them past the end.

    As the feature extractor of the audio spectrogram transformer has them (Gong, Chung and Glass 2021, section 2.1).
    """
    wanted = kaldi_native_fbank.FbankOptions()
    wanted.frame_opts.samp_freq = rate
    wanted.frame_opts.window_type = "hanning"
    wanted.frame_opts.dither = 0.0  # which is noise
    wanted.frame_opts.snip_edges = True
    wanted.mel_opts.num_bins = bands
    wanted.energy_floor = 0.0
    made = kaldi_native_fbank.OnlineFbank(wanted)
    made.accept_waveform(rate, samples)
    made.input_finished()
    return np.stack([made.get_frame(at) for at in range(made.num_frames_ready)])
