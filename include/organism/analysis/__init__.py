"""The causal analysis as a step of the pipeline: question, panel, answers, verdicts, report.

The numerics are in `include/organism/causal/`; here is what is asked, of which data, and what may be said of it.
"""
