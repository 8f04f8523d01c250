"""Results of several commits and runs beside one another, for people; no stage imports it."""
