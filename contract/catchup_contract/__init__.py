"""What the operator, the chart and the jobs share: names, numbers and rules.

Standard library only, so that each image carries its own dependencies alone. A name, a label, an exit code, a default
or a rule that two sides must agree on stands in this package and nowhere else.
"""
