"""The dashboard: live pages over a database that it only reads.

    address.py       what the address says: study, page, filters, selection
    study_state.py   a study in memory, kept up to date by reading only what is new
    app.py           Dash: pages, controls, callbacks
    guard.py         who may ask: host names, token, headers
    serve.py         the server

`pages/` has one module a page. The figures are the report's.
"""
