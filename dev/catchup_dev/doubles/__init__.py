"""Scripted stand-ins, over the network, for the services that the jobs call."""
