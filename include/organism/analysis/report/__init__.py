"""The page of a causal analysis: what was asked, what the data say, how sure that is. Groups only, never people."""
