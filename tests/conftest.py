"""What tests of every folder share."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("any_speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any_speed")  # whether a property holds does not depend on the machine
