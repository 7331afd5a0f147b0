"""The dashboard: live pages over a database that it only reads.

    serve.py         the server
    guard.py         who may use it: host names, token, headers
    app.py           Dash: pages, controls, callbacks
    address.py       the state of a page in its query string
    context.py       the study, address and theme that a page is drawn from
    components.py    what pages are made of
    pages/           one module per page
    study_state.py   a live study; its docstring lists the modules that it is made of
    cache.py         values that follow from the trials, by version
    background.py    the process for computations that take seconds

The report and the dashboard share `studies/figures`.
"""
