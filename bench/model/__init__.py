"""The words of the project as frozen dataclasses: what is run, and what came out of it.

Units everywhere: seconds, bytes, requests per second. A figure that is not known is ``None``,
never a stand-in number; a trial without a true result has a ``failure`` that says why.
"""

from bench.model.deployment import Deployment, Service, Variant
from bench.model.from_file import FromFile
from bench.model.machine import ALIKE, ALIKE_ROUGHLY, Machine
from bench.model.run import Run, RunStatus
from bench.model.target import Running, Target
from bench.model.trial import (
    Latency,
    Measurement,
    RequestMeasurement,
    RoleUsage,
    Surroundings,
    Trial,
    Verification,
)
from bench.model.workload import (
    MASK,
    OWN,
    SECRET_HEADERS,
    Ask,
    Load,
    MixedRequest,
    Request,
    Workload,
)

__all__ = [
    "ALIKE",
    "ALIKE_ROUGHLY",
    "MASK",
    "OWN",
    "SECRET_HEADERS",
    "Ask",
    "Deployment",
    "FromFile",
    "Latency",
    "Load",
    "Machine",
    "Measurement",
    "MixedRequest",
    "Request",
    "RequestMeasurement",
    "RoleUsage",
    "Run",
    "RunStatus",
    "Running",
    "Service",
    "Surroundings",
    "Target",
    "Trial",
    "Variant",
    "Verification",
    "Workload",
]
