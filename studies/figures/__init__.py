"""Plotly figures, drawn from values that the analysis has computed."""
