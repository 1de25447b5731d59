"""A real Kubernetes on this machine: as root with a node that runs pods, otherwise the control plane alone."""

from catchup_dev.cluster.cluster import Cluster, Row
from catchup_dev.cluster.layout import DEMO
from catchup_dev.console import Failure

__all__ = ["DEMO", "Cluster", "Failure", "Row"]
