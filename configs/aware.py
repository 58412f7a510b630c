from dippas_jax import config as c
import dataclasses


def get_config(setting=""):
    cfg = c.Config(
        inversion=c.Inversion(learning_rate=5e-3, noise_std=0.0, max_steps=1000),
        generator=c.Generator(),
        data=c.Data(crop=128),
    )
    return c.to_config_dict(cfg)
