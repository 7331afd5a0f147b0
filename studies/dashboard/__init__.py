"""The dashboard: live pages over a database that it only reads.

    serve.py         the server
    guard.py         who may use it: host names, token, headers
    app.py           Dash: pages, controls, callbacks
    address.py       the state of a page in its query string
    context.py       what a page is drawn from
    components.py    what pages are made of
    pages/           one module a page
    study_state.py   a live study, made of the parts that it lists
    cache.py         values that follow from the trials, by version
    background.py    the process for what takes seconds

The figures are the report's.
"""
