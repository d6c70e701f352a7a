"""What clients of Flight SQL do, without their libraries."""

from __future__ import annotations

from pyarrow import flight

from polyport.ports.output.flight import messages as m


def command(message):
    return flight.FlightDescriptor.for_command(m.wrap(message))


def headers(**given):
    return flight.FlightCallOptions(
        headers=[(k.replace("_", "-").encode(), v.encode()) for k, v in given.items()]
    )


def ask(client, message, options=None):
    """The info, then the rows of its endpoint."""
    info = client.get_flight_info(command(message), options)
    assert client.get_schema(command(message), options).schema == info.schema
    (endpoint,) = info.endpoints
    found = client.do_get(endpoint.ticket, options).read_all()
    assert found.schema.equals(info.schema)
    return found


def act(client, name, message, options=None, *, plain=False):
    body = message.encode() if plain else m.wrap(message)
    return [bytes(r.body) for r in client.do_action(flight.Action(name, body), options)]


def option(key, value):
    return m.SessionOption(key=key, value=value)
