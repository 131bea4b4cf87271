"""What Keystone and Neutron have written down about the cloud, asked as Nova's own user."""

import compute_api
import keystone
import rest


def logged_in(request):
    """The token, and the catalogue that came with it."""
    api = request["api"]
    identity, body = keystone.logged_in(api["auth_url"], api["login"])
    return identity, body


def identity(request):
    """Endpoints of the compute service, and the ends of the service users' passwords.

    Answer: {"endpoints": [{"id", "interface", "region", "url", "type", "name"}],
             "passwords": {user: epoch text|null}}
    """
    client, body = logged_in(request)
    endpoints = [
        {**endpoint, "type": service.get("type"), "name": service.get("name")}
        for service in body.get("catalog", [])
        for endpoint in service.get("endpoints", [])
    ]
    return {
        "endpoints": endpoints,
        "passwords": {body["user"]["name"]: body["user"].get("password_expires_at")},
        "url": client.url,
    }


def network(request):
    """Neutron's agents.

    Answer: {"agents": [{"id", "host", "agent_type", "binary", "alive", "heartbeat_timestamp"}]}
    """
    client, body = logged_in(request)
    url = compute_api.endpoint(body.get("catalog", []), "network", request["api"])
    neutron = rest.Client(url, {"X-Auth-Token": client.token})
    fields = ("id", "host", "agent_type", "binary", "alive", "heartbeat_timestamp")
    return {"agents": neutron.listed("/v2.0/agents", "agents", *fields)}
