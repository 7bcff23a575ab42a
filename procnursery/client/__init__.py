"""Clients of the daemon, with the same names in both forms:

``procnursery.client.blocking``
    plain calls on a plain socket; imports no event loop
``procnursery.client.connection``
    async calls on anyio, so under Trio and asyncio

    from procnursery.client.blocking import connect

    with connect("unix:///run/procnursery/procnursery.sock") as connection:
        result = connection.run(["uname", "-a"])
        result.outcome.raise_for_status()
        print(result.stdout)
"""
