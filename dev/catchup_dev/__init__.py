"""Tools for developers and CI: a local Kubernetes, images and (later) a demo. Standard library only."""
