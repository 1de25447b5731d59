"""Rules of placements: which slot of a user is served next. Pure; `now` is an argument."""
