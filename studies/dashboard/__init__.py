"""The dashboard: live pages over a database that it only reads.

    view.py      what the address says: study, page, filters, selection
    board.py     a study in memory, kept up to date by reading only what is new
    app.py       Dash: pages, controls, callbacks
    guard.py     who may ask: host names, token, headers
    serve.py     the server

One module a page: tradeoffs, matters, progress, compare, looks. The figures are the report's.
"""
