"""What holds for all tiers."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A busy machine is no defect: no example is judged by the time that it took.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# For the development loop (`make test-unit`); `make test` plays the full number.
settings.register_profile("quick", settings.get_profile("untimed"), max_examples=20)
settings.load_profile("untimed")
