"""Queries about pools: who is a member, who is due, how a pool does."""
